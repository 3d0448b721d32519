// What can be seen without opening anything: the number on the button, and notifications.

import * as daemon from './daemon.js';
import * as store from './store.js';
import { isUnfinished } from './words.js';

/** Hand-overs within this time are told together. */
const TOGETHER_MS = 3000;

const ALARM = 'refresh';

let recent = [];

/** Tells that haul has taken files over: one notification, however many come at a time. */
export async function handedOver(names) {
  const now = Date.now();
  recent = recent.filter(({ at }) => now - at < TOGETHER_MS).concat(names.map((name) => ({ name, at: now })));
  const title = recent.length === 1 ? 'haul has taken over a download' : `haul has taken over ${recent.length} downloads`;
  if ((await store.settings()).notify) notify(title, recent.map(({ name }) => name).slice(-5).join('\n'));
  await refresh();
}

/** Shows a notification in place of the one before. Does not wait for it: a system may take its time, and downloads wait. */
export function notify(title, message) {
  const iconUrl = chrome.runtime.getURL('icons/128.png');
  // A system that shows none is no reason to fail.
  chrome.notifications.create('haul', { type: 'basic', iconUrl, title, message }).catch(() => {});
}

/** Shows that something needs the user: a pairing that is not good any more, or another program in haul's place. */
export async function warn(error) {
  if (!['revoked', 'impostor'].includes(error.kind)) return;
  await chrome.action.setBadgeBackgroundColor({ color: '#b3261e' });
  await chrome.action.setBadgeText({ text: '!' });
  await chrome.action.setTitle({ title: `haul: ${error.message}` });
}

/** Counts the unfinished jobs of this browser, now and again as long as there are any; where the others came from is forgotten. */
export async function refresh() {
  try {
    const jobs = (await store.pairing()) ? await daemon.jobs() : [];
    const unfinished = jobs.filter(isUnfinished).length;
    await store.forget(jobs.filter(({ state }) => ['completed', 'canceled'].includes(state)).map(({ id }) => id));
    await chrome.action.setBadgeBackgroundColor({ color: '#2457c5' });
    await chrome.action.setBadgeText({ text: unfinished > 0 ? String(unfinished) : '' });
    await chrome.action.setTitle({ title: unfinished > 0 ? `haul: ${unfinished} under way` : 'haul' });
    if (unfinished > 0) await chrome.alarms.create(ALARM, { delayInMinutes: 0.5 });
  } catch (error) {
    await chrome.action.setBadgeText({ text: '' });
    await warn(error);
  }
}

/** Whether an alarm is this one. */
export function isAlarm(alarm) {
  return alarm.name === ALARM;
}
