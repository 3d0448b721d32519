// The options page.

import * as cookies from './cookies.js';
import * as daemon from './daemon.js';
import * as store from './store.js';
import { readSettings } from './rules.js';

const LISTS = ['neverSites', 'alwaysSites', 'neverTypes', 'neverMimes'];
const SWITCHES = ['enabled', 'privateWindows', 'notify'];
const WORDS = ['unknownSize', 'browserKey'];

/** Bytes of a megabyte, as the page counts them. */
const MB = 1_000_000;

const ACCESS = { permissions: ['cookies'], origins: ['http://*/*', 'https://*/*'] };

const $ = (id) => document.getElementById(id);

/** Shows what is set. */
async function show() {
  const settings = await store.settings();
  $('address').value = settings.address.replace('http://', '');
  $('minBytes').value = settings.minBytes / MB;
  for (const id of LISTS) $(id).value = settings[id].join('\n');
  for (const id of SWITCHES) $(id).checked = settings[id];
  for (const id of WORDS) $(id).value = settings[id];
  // Not before: what is typed meanwhile would be lost.
  $('form').hidden = false;
}

/** Takes over what was typed, field by field: what cannot be used is marked and left as it was. */
async function save() {
  const typed = { address: $('address').value, minBytes: $('minBytes').valueAsNumber * MB };
  for (const id of LISTS) typed[id] = $(id).value.split(/[\s,]+/).filter(Boolean);
  for (const id of SWITCHES) typed[id] = $(id).checked;
  for (const id of WORDS) typed[id] = $(id).value;
  const { settings, errors } = readSettings(typed);
  const good = Object.keys(typed).filter((field) => !errors[field]);
  for (const field of Object.keys(typed)) mark($(field), errors[field]);
  await store.change(Object.fromEntries(good.map((field) => [field, settings[field]])));
}

function mark(input, error) {
  const id = `${input.id}-error`;
  document.getElementById(id)?.remove();
  input.toggleAttribute('aria-invalid', Boolean(error));
  if (!error) return;
  input.setAttribute('aria-invalid', 'true');
  const text = document.createElement('p');
  text.id = id;
  text.className = 'bad small';
  text.role = 'alert';
  text.textContent = error;
  input.closest('.field').append(text);
}

async function test() {
  $('tested').className = 'small';
  $('tested').textContent = 'asks …';
  try {
    await daemon.check();
    const pairing = await store.pairing();
    $('tested').textContent = pairing
      ? `haul answers, has proved itself, and knows this browser as “${pairing.name}”.`
      : 'haul answers. Pair this browser in the popup of the button.';
    $('tested').classList.add('good');
  } catch (error) {
    $('tested').textContent = error.message;
    $('tested').classList.add('bad');
  }
}

async function showAccess() {
  $('forbidden').hidden = await daemon.mayTalk();
  const has = cookies.mayRead();
  $('access').textContent = has ? 'Cookies are handed over.' : 'Cookies are not handed over.';
  $('allow').hidden = has;
  $('disallow').hidden = !has;
}

$('form').addEventListener('submit', (event) => event.preventDefault());
$('form').addEventListener('change', save);
$('test').addEventListener('click', () => save().then(test));
$('allow-daemon').addEventListener('click', () => chrome.permissions.request(daemon.ACCESS).then(showAccess));
$('allow').addEventListener('click', () => chrome.permissions.request(ACCESS).then(showAccess));
$('disallow').addEventListener('click', () => chrome.permissions.remove(ACCESS).then(showAccess, showAccess));
chrome.permissions.onAdded.addListener(showAccess);
chrome.permissions.onRemoved.addListener(showAccess);
await show();
await showAccess();
