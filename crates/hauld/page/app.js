// Where the page begins: a token, then everything else.

import { get, hasToken, pair, session, setToken } from './api.js';
import { byId } from './dom.js';
import { Add } from './add.js';
import { Drawer } from './drawer.js';
import { Jobs } from './jobs.js';
import { Keys } from './keys.js';
import { Limits } from './limits.js';
import { List } from './list.js';
import { Menu } from './menu.js';
import { Notify } from './notify.js';
import { Actions, BulkBar } from './selection.js';
import { Stream } from './stream.js';
import { Top } from './top.js';

// Limits can be changed elsewhere, and have times of day.
const SETTINGS_MS = 30000;

let started = false;

// The code of `haul open`, which is taken out of the address at once.
function takeCode() {
  const code = new URLSearchParams(location.hash.slice(1)).get('code');
  if (code !== null) history.replaceState(null, '', location.pathname);
  return code;
}

// Whether the token is accepted.
async function isAccepted() {
  if (!hasToken()) return false;
  try {
    await get('/v1/stats');
    return true;
  } catch (error) {
    // A daemon that is away will come back; a token without this right is no token for this page.
    return error.status !== 401 && error.status !== 403;
  }
}

async function begin() {
  const code = takeCode();
  if (await isAccepted()) return start();
  setToken(null);
  if (code === null) return welcome();
  try {
    await pair(code);
    await start();
  } catch (error) {
    welcome(error.message);
  }
}

// The one screen without a token.
function welcome(why = null) {
  byId('page').hidden = true;
  byId('welcome').hidden = false;
  byId('welcome-error').textContent = why ?? '';
  byId('welcome-token').focus();
}

function listenForToken() {
  byId('welcome-form').addEventListener('submit', async (event) => {
    event.preventDefault();
    const field = byId('welcome-token');
    setToken(field.value.trim());
    if (await isAccepted()) {
      field.value = '';
      return start();
    }
    setToken(null);
    welcome('the daemon does not accept this token; the page needs one of scope admin or read');
  });
  addEventListener('hashchange', async () => {
    const code = takeCode();
    if (code === null || hasToken()) return;
    try {
      await pair(code);
      start();
    } catch (error) {
      welcome(error.message);
    }
  });
  session.addEventListener('ended', () => {
    if (!started) return;
    setToken(null);
    byId('welcome-why').textContent = 'The token of this browser was revoked, or the daemon is another one.';
    welcome();
  });
}

function start() {
  byId('welcome').hidden = true;
  byId('page').hidden = false;
  if (started) return location.reload();
  started = true;
  const jobs = new Jobs();
  const actions = new Actions(jobs);
  const list = new List(jobs, actions);
  const limits = new Limits();
  const drawer = new Drawer(jobs, list, actions);
  const add = new Add(jobs);
  const top = new Top(jobs, list, limits);
  new BulkBar(list, actions);
  new Notify(jobs, list);
  const menu = new Menu(list, drawer, actions);
  new Keys({ list, drawer, actions, add, limits, menu });

  const look = () => {
    limits.load().catch(() => {});
    top.space().catch(() => {});
    top.ready();
  };
  const stream = new Stream({
    onEvent: (kind, data) => jobs.hear(kind, data),
    onState: (state) => {
      top.health(state === 'open' ? 'well' : 'lost');
      if (state !== 'open') return top.notice('the daemon does not answer; what is shown may be old');
      // The stream tells what happens from here on; what was before is loaded now.
      jobs.load().catch(() => {});
      look();
    },
  });
  stream.run();
  setInterval(() => document.visibilityState === 'visible' && limits.load().catch(() => {}), SETTINGS_MS);
  byId('list').focus({ preventScroll: true });
}

listenForToken();
begin();
