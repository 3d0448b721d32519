// The popup: whether haul is there, what it is doing for this browser, and pairing.

import * as badge from './badge.js';
import * as cookies from './cookies.js';
import * as daemon from './daemon.js';
import * as menus from './menus.js';
import * as renewal from './renew.js';
import * as store from './store.js';
import * as words from './words.js';
import { giveBack } from './capture.js';

/** How often what is shown is brought up to date. */
const REFRESH_MS = 1000;

/** Jobs that are shown: those under way first, then what has ended. */
const SHOWN_MAX = 20;

const ACCESS = { permissions: ['cookies'], origins: ['http://*/*', 'https://*/*'] };

const $ = (id) => document.getElementById(id);

/** Does what a button says; what goes wrong is shown. */
function on(id, event, act) {
  $(id).addEventListener(event, async (happened) => {
    happened.preventDefault();
    await attempt(act);
    await refresh();
  });
}

async function attempt(act) {
  try {
    trouble(null);
    await act();
  } catch (error) {
    trouble(error.message);
  }
}

function trouble(text) {
  $('trouble').hidden = !text;
  $('trouble').textContent = text ?? '';
}

on('pairing', 'submit', async () => {
  await daemon.pair($('code').value, words.browserName());
  $('code').value = '';
});
on('enabled', 'change', () => store.change({ enabled: $('enabled').checked }));
on('unpair', 'click', async () => {
  await store.setPairing(null);
  await badge.refresh();
});
on('allow-daemon', 'click', () => chrome.permissions.request(daemon.ACCESS));
// The browser's own question needs the click to be the last thing that has happened.
on('allow', 'click', () => chrome.permissions.request(ACCESS));
on('not-now', 'click', () => store.change({ cookiesAsked: true }));
on('renewing-end', 'click', () => renewal.end());
on('give-back', 'click', async () => {
  await giveBack(await store.last());
  await store.setLast(null);
});
on('options', 'click', () => chrome.runtime.openOptionsPage());
on('links', 'click', async () => {
  const [tab] = await chrome.tabs.query({ active: true, currentWindow: true });
  await menus.choose(tab);
});

/** Brings everything up to date. */
async function refresh() {
  const [settings, pairing, last, renewing] = await Promise.all([
    store.settings(),
    store.pairing(),
    store.last(),
    renewal.waitsFor(),
  ]);
  $('enabled').checked = settings.enabled;
  $('unpair').hidden = !pairing;
  $('logins').hidden = !pairing || cookies.mayRead() || settings.cookiesAsked === true;
  showLast(last);
  $('renewing').hidden = !renewing;
  $('renewing-text').textContent = renewing ? `The next download from that page goes on with ${renewing.name}.` : '';
  try {
    const jobs = pairing ? await daemon.jobs() : await daemon.check().then(() => []);
    $('standing').textContent = pairing ? `Paired as “${pairing.name}”` : 'haul is there, and not paired yet';
    $('pairing').hidden = Boolean(pairing);
    $('forbidden').hidden = true;
    await showJobs(jobs);
    $('nothing').hidden = !pairing || jobs.length > 0;
  } catch (error) {
    $('standing').textContent = error.message;
    $('forbidden').hidden = error.kind !== 'forbidden';
    $('pairing').hidden = ['forbidden', 'unreachable'].includes(error.kind) || (Boolean(pairing) && error.kind !== 'revoked');
    $('nothing').hidden = true;
    await showJobs([]);
  }
}

function showLast(last) {
  $('last').hidden = !last?.name;
  if (!last?.name) return;
  if (!last.taken) $('last-text').textContent = `${last.name} stays in the browser: ${last.why}.`.replace(/\.\.$/, '.');
  else if (last.renewed) $('last-text').textContent = `${last.name} goes on with its new link.`;
  else $('last-text').textContent = `${last.name} was handed to haul.`;
  $('give-back').parentElement.hidden = !last.taken || last.renewed === true;
}

/** Shows jobs; elements of those that were there stay, so that the focus does. */
async function showJobs(all) {
  const jobs = all.filter((job) => job.state !== 'canceled');
  const [unfinished, ended] = [jobs.filter(words.isUnfinished), jobs.filter((job) => !words.isUnfinished(job))];
  const shown = [...unfinished, ...ended].slice(0, SHOWN_MAX);
  const pages = await renewal.pages(shown);
  const known = new Map([...$('jobs').children].map((element) => [Number(element.dataset.id), element]));
  const elements = shown.map((job) => {
    const element = known.get(job.id) ?? element_(job.id);
    show(element, job, pages.get(job.id));
    return element;
  });
  if (elements.some((element, index) => $('jobs').children[index] !== element) || elements.length !== known.size) {
    $('jobs').replaceChildren(...elements);
  }
}

function element_(id) {
  const element = document.createElement('li');
  element.className = 'job';
  element.dataset.id = id;
  const head = append(element, 'div', 'row');
  append(head, 'span', 'name grow cut');
  append(head, 'button', 'act');
  append(head, 'button', 'renew').textContent = 'Renew link';
  append(element, 'progress', '').max = 1;
  append(element, 'span', 'state quiet small');
  return element;
}

function append(parent, tag, className) {
  const element = document.createElement(tag);
  element.className = className;
  parent.append(element);
  return element;
}

function show(element, job, page) {
  const part = (name) => element.querySelector(`.${name}`);
  const name = job.filename ?? job.url;
  set(part('name'), name);
  part('name').title = name;
  set(part('state'), words.state(job));
  part('state').classList.toggle('bad', job.state === 'failed');
  const progress = element.querySelector('progress');
  const fraction = words.fraction(job);
  progress.hidden = !words.isUnfinished(job);
  progress.setAttribute('aria-label', `Progress of ${name}`);
  if (fraction === null) progress.removeAttribute('value');
  else progress.value = fraction;
  const canRenew = renewal.canRenew(job, page);
  part('renew').hidden = !canRenew;
  part('renew').setAttribute('aria-label', `Renew the link of ${name}`);
  part('renew').onclick = () => attempt(() => renewal.begin(job, page));
  const action = job.state === 'paused' || job.state === 'waiting' ? 'resume' : 'pause';
  const word = { paused: 'Resume', waiting: 'Try now' }[job.state] ?? 'Pause';
  part('act').hidden = canRenew || !words.isUnfinished(job) || job.state === 'verifying';
  set(part('act'), word);
  part('act').setAttribute('aria-label', `${word}: ${name}`);
  part('act').onclick = () => attempt(() => daemon.act(job.id, action)).then(refresh);
}

/** Sets a text only where it is another one: a reader would read it again. */
function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Brings it up to date as long as it is open, one look after the other. */
async function follow() {
  await refresh().catch((error) => trouble(error.message));
  setTimeout(follow, REFRESH_MS);
}

follow();
