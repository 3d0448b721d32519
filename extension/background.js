// Wires the browser's events to what is done about them. The browser ends this worker whenever nothing happens, and starts it
// again for the next event: what has to be known then is in `store.js`.

import * as badge from './badge.js';
import * as menus from './menus.js';
import { HOLDS, capture, recover } from './capture.js';
import { note, register } from './keys.js';

if (HOLDS) {
  // The file cannot be finished before `suggest` is called.
  chrome.downloads.onDeterminingFilename.addListener((item, suggest) => {
    capture(item).catch(report).finally(() => suggest());
    return true;
  });
} else {
  chrome.downloads.onCreated.addListener((item) => capture(item).catch(report));
}

chrome.contextMenus.onClicked.addListener((info, tab) => menus.clicked(info, tab).catch(report));
chrome.alarms.onAlarm.addListener((alarm) => badge.isAlarm(alarm) && badge.refresh());
chrome.runtime.onMessage.addListener((message) => note(message));
chrome.permissions.onAdded.addListener(() => register().catch(report));
chrome.permissions.onRemoved.addListener(() => register().catch(report));
chrome.storage.onChanged.addListener((changes) => {
  if (changes.settings) register().catch(report);
  if (changes.pairing) badge.refresh();
});
chrome.runtime.onInstalled.addListener(() => {
  menus.make().catch(report);
  register().catch(report);
});
chrome.runtime.onStartup.addListener(() => {
  menus.make().catch(report);
  badge.refresh();
});

recover().catch(report);

/** A defect of this extension: its text may go to the console, which is the user's own. */
function report(error) {
  console.error('haul:', error);
}
