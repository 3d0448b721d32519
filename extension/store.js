// What is kept: settings, the pairing and the jobs handed over for good (`local`), all else until the browser ends (`session`).

import { DEFAULTS } from './rules.js';

/** Jobs that are remembered with the page that they come from. */
const HANDED_MAX = 200;

/** The settings, complete. */
export async function settings() {
  const { settings: stored } = await chrome.storage.local.get('settings');
  return { ...DEFAULTS, ...stored };
}

/** Changes some settings. */
export function change(some) {
  return alone(async () => chrome.storage.local.set({ settings: { ...(await settings()), ...some } }));
}

/** The pairing `{id, name, token}`, if there is one. */
export async function pairing() {
  return (await chrome.storage.local.get('pairing')).pairing ?? null;
}

/** Keeps a pairing; null forgets it. */
export function setPairing(pairing) {
  return pairing ? chrome.storage.local.set({ pairing }) : chrome.storage.local.remove(['pairing', 'handed']);
}

/** Jobs that this browser has handed over `{id, url, name, page, at}`, the newest first. */
export async function handed() {
  return (await chrome.storage.local.get('handed')).handed ?? [];
}

/** Remembers jobs that were handed over. */
export function remember(jobs) {
  const ids = new Set(jobs.map((job) => job.id));
  return alone(async () => {
    const others = (await handed()).filter((job) => !ids.has(job.id));
    await chrome.storage.local.set({ handed: [...jobs, ...others].slice(0, HANDED_MAX) });
  });
}

/** Forgets where jobs came from that need it no more. */
export function forget(ids) {
  return alone(async () => {
    const before = await handed();
    const left = before.filter((job) => !ids.includes(job.id));
    if (left.length < before.length) await chrome.storage.local.set({ handed: left });
  });
}

/** What has become of the last download `{name, at, taken, why, id, url}`. */
export async function last() {
  return (await chrome.storage.session.get('last')).last ?? null;
}

/** Notes what has become of a download. */
export function setLast(last) {
  return chrome.storage.session.set({ last: { ...last, at: Date.now() } });
}

/** Lets nothing else of this extension change what is kept meanwhile. */
function alone(change) {
  return navigator.locks.request('haul-store', change);
}
