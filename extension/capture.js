// A download that the browser has begun: it is handed to haul, and given up by the browser only once haul is fetching it.
// Whatever goes wrong in between, the browser goes on with its own. Chromium holds it meanwhile. Firefox cannot: its pause hangs
// up, and what a server gives only from the start, or only once, could not be resumed. There the browser goes on, and what it
// has whole before haul is ready stays there.

import * as badge from './badge.js';
import * as cookies from './cookies.js';
import * as daemon from './daemon.js';
import * as renewal from './renew.js';
import * as store from './store.js';
import { WHY, decide, webUrl } from './rules.js';
import { referrer } from './links.js';
import { wasHeld } from './keys.js';

/** Whether the browser can hold a download until this extension has decided, and tells at once its size and plain name. */
export const HOLDS = Boolean(chrome.downloads.onDeterminingFilename);

/** A download older than this is not one that somebody has just clicked: it comes back with the browser or its worker. */
const FRESH_MS = 10_000;

/** How long haul may take to get a first answer from the server before it counts as having the file. */
const SETTLED_MS = 4000;

/** How long a browser that does not hold downloads may take to tell how large one is: its first progress, as a guess. */
const SIZE_MS = 500;

/** What a job waits for that it was just submitted, and that the browser's own connection does not have to wait for. */
const NOT_HAULS = ['retry', 'host', 'network', 'link'];

/** Looks at a download that has begun. Resolves once the browser may go on with it, if it is still there. */
export async function capture(created) {
  const settings = await store.settings();
  // Nothing changes for a browser that is not paired.
  if (!(await store.pairing())) return;
  const item = HOLDS ? created : await measured(created);
  const verdict = decide(described(item), settings, wasHeld(settings.browserKey));
  if (!verdict.take) {
    // What was switched off need not say so each time.
    if (!['off', 'extension'].includes(verdict.why)) await stays(item, WHY[verdict.why]);
    return;
  }
  await hold(item.id);
  try {
    const tab = await activeTab();
    const wanted = await renewal.wanted(item, tab);
    if (wanted) await renew(wanted, item, tab);
    else await handOver(item, tab);
  } catch (error) {
    await letGo(item.id);
    await stays(item, error.message);
    if (settings.notify) badge.notify(`${nameOf(item)} stays in the browser`, error.message);
    await badge.warn(error);
  } finally {
    held.delete(item.id);
    await keepHeld();
  }
}

/** Gives a job up and has the browser download it. What this extension starts is left alone. */
export async function giveBack({ id, url, isNew }) {
  // A job that was there before the click has bytes that belong to another one.
  if (isNew) {
    await daemon.act(id, 'cancel').catch((error) => {
      if (error.code !== 'conflict-state') throw error;
    });
  }
  await chrome.downloads.download({ url });
  await store.forget([id]);
}

/** Lets downloads go on that were held by a worker that has ended since. */
export async function recover() {
  const { held: before = [] } = await chrome.storage.session.get('held');
  await Promise.all(before.filter((id) => !held.has(id)).map(letGo));
  await keepHeld();
}

async function handOver(item, tab) {
  const job = await jobOf(item, tab);
  const key = crypto.randomUUID();
  const submitted = await daemon.submit(job, key).catch((error) => {
    if (error.kind === 'late') takeBack(job, key);
    throw error;
  });
  const now = await settled(submitted.job);
  if (now.state === 'failed' || (now.state === 'waiting' && NOT_HAULS.includes(now.waiting_for))) {
    await drop({ ...submitted, job: now });
    throw new Error(`haul could not fetch it: ${now.reason?.message ?? 'it does not say why'}`);
  }
  if (!(await giveUp(item.id))) {
    // The browser was faster, or somebody has canceled it there.
    await drop(submitted);
    await stays(item, WHY.done);
    return;
  }
  const name = now.filename ?? nameOf(item);
  await store.remember([{ id: now.id, url: item.url, name, page: job.page_url ?? null, at: Date.now() }]);
  const { isNew } = submitted;
  await store.setLast({ name, taken: true, id: now.id, url: item.url, isNew, noCookies: !cookies.mayRead() });
  await badge.handedOver([name]);
}

async function renew(wanted, item, tab) {
  const own = await cookies.gather([item.url], tab?.url, storeOf(item));
  const change = own.length > 0 ? { url: item.url, headers: { Cookie: cookies.header(own) } } : { url: item.url };
  await renewal.carryOut(wanted, change);
  await giveUp(item.id);
  await store.setLast({ name: wanted.name, taken: true, renewed: true });
  badge.notify(`${wanted.name} goes on`, 'It has a new link, and keeps the bytes that were there.');
  await badge.refresh();
}

/** Waits until a new job has had a first answer from the server, or for as long as that may take. */
async function settled(job) {
  const until = Date.now() + SETTLED_MS;
  let now = job;
  while (['queued', 'probing'].includes(now.state) && Date.now() < until) {
    now = await daemon.job(now.id, now.state, 1);
  }
  return now;
}

/** Gives up a job whose acceptance came too late: the browser has gone on. */
function takeBack(job, key) {
  daemon.submit(job, key, 10_000).then(drop).catch(() => {});
}

/** Gives up a job that the browser carries out. One that was there before has bytes that are not to be lost. */
async function drop({ job, isNew }) {
  if (isNew) await daemon.act(job.id, 'cancel').catch(() => {});
}

/** What haul is told of a download. */
async function jobOf(item, tab) {
  const page = webUrl(tab?.url ?? '') ? tab.url : item.referrer || undefined;
  const own = await cookies.gather([item.url, item.finalUrl].filter(Boolean), page, storeOf(item));
  const job = { url: item.url, user_agent: navigator.userAgent };
  // Firefox tells all of it, also what the server was not told.
  if (webUrl(item.referrer ?? '')) job.referrer = referrer(webUrl(item.referrer), webUrl(item.finalUrl ?? item.url));
  if (webUrl(page ?? '')) job.page_url = page;
  if (own.length > 0) job.cookies = own;
  const bytes = bytesOf(item);
  // An error page in the place of the file does not have its size.
  if (bytes !== null) job.size = bytes;
  // Firefox tells a path that is numbered already.
  if (HOLDS && isName(item.filename)) job.filename = item.filename;
  return job;
}

/** A download as the rules look at it. */
function described(item) {
  return {
    url: item.url,
    finalUrl: item.finalUrl,
    referrer: item.referrer,
    mime: item.mime,
    name: item.filename,
    bytes: bytesOf(item),
    isPrivate: item.incognito,
    isExtensions: Boolean(item.byExtensionId),
    isOld: Date.now() - Date.parse(item.startTime) > FRESH_MS,
    isDone: item.state !== 'in_progress',
  };
}

/** A download as soon as its size is known, or when that is not to be awaited. */
async function measured(created) {
  const until = Date.now() + SIZE_MS;
  let now = created;
  while (now.state === 'in_progress' && bytesOf(now) === null && Date.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    [now = created] = await chrome.downloads.search({ id: created.id });
  }
  return now;
}

function bytesOf(item) {
  return [item.fileSize, item.totalBytes].find((bytes) => bytes > 0) ?? null;
}

function isName(name) {
  return Boolean(name) && !/[/\\\u0000-\u001f]/.test(name) && new TextEncoder().encode(name).length <= 255;
}

function nameOf(item) {
  return item.filename?.split(/[/\\]/).pop() || webUrl(item.url)?.pathname.split('/').pop() || 'The download';
}

/** The cookie store that a download belongs to. */
function storeOf(item) {
  if (item.cookieStoreId) return item.cookieStoreId;
  return item.incognito ? '1' : undefined;
}

/** The tab that was clicked in; its URL is known where the user has permitted that. */
async function activeTab() {
  const [tab] = await chrome.tabs.query({ active: true, lastFocusedWindow: true }).catch(() => []);
  return tab ?? null;
}

/** Downloads that wait for haul's answer: held in memory, and kept for the worker that comes after this one. */
const held = new Set();

function keepHeld() {
  return chrome.storage.session.set({ held: [...held] });
}

async function hold(id) {
  if (!HOLDS) return;
  held.add(id);
  await keepHeld();
  // One that cannot be paused any more is still held until its name is determined.
  await chrome.downloads.pause(id).catch(() => {});
}

async function letGo(id) {
  if (!HOLDS) return;
  await chrome.downloads.resume(id).catch(() => {});
}

/** Ends the browser's own download and takes it off its list; tells whether it was still under way. */
async function giveUp(id) {
  const [now] = await chrome.downloads.search({ id });
  if (now?.state !== 'in_progress') return false;
  await chrome.downloads.cancel(id);
  await chrome.downloads.erase({ id });
  return true;
}

async function stays(item, why) {
  await store.setLast({ name: nameOf(item), taken: false, why });
}
