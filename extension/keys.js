// The key that leaves a click to the browser. A page has to be watched for that, so it works on sites that the user has
// permitted this extension to see; nothing but the key is looked at.

import * as store from './store.js';

const ID = 'browser-key';

/** A key that was held longer ago than this has nothing to do with a download. */
const KEY_MS = 3000;

let held = { keys: [], at: 0 };

/** Has pages watched for the key, where that is wanted and permitted. */
export function register() {
  return navigator.locks.request('haul-keys', async () => {
    const { browserKey } = await store.settings();
    const { origins = [] } = await chrome.permissions.getAll();
    const matches = origins.filter((origin) => !/\/\/(127\.0\.0\.1|localhost)\//.test(origin));
    const known = await chrome.scripting.getRegisteredContentScripts({ ids: [ID] });
    if (known.length > 0) await chrome.scripting.unregisterContentScripts({ ids: [ID] });
    if (browserKey === 'none' || matches.length === 0) return;
    const script = { id: ID, matches, js: ['key.js'], allFrames: true, runAt: 'document_start' };
    await chrome.scripting.registerContentScripts([script]);
  });
}

/** Notes which keys were held at a click. */
export function note(message) {
  if (Array.isArray(message?.keys)) held = { keys: message.keys, at: Date.now() };
}

/** Whether this key was held at a click just now. */
export function wasHeld(key) {
  return held.keys.includes(key) && Date.now() - held.at < KEY_MS;
}
