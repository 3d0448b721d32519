// A new link for a job whose own has expired: the user goes back to the page of the link, and the next download from there
// is not a new job but the new link of the old one.

import * as daemon from './daemon.js';
import * as store from './store.js';
import { webUrl } from './rules.js';

/** How long the next download is waited for. */
const WAITS_MS = 10 * 60_000;

/** How long haul may take to compare the new link's bytes with those that are there. The browser holds a download for 15 s. */
const PROOF_MS = 11_000;

/** Whether a job can be renewed: its link has expired, or never was good, and the page of the link is known. */
export function canRenew(job, page) {
  const isExpired = job.state === 'waiting' && job.waiting_for === 'link';
  const isRefused = job.state === 'failed' && ['http-status', 'auth-required'].includes(job.reason?.code);
  return (isExpired || isRefused) && webUrl(page ?? '') !== null;
}

/** Goes to the page of a job's link, and takes the next download from there for its new link. */
export async function begin(job, page) {
  const tab = await chrome.tabs.create({ url: page, active: true });
  const name = job.filename ?? `Job ${job.id}`;
  await chrome.storage.session.set({ renewing: { id: job.id, name, page, tab: tab.id, until: Date.now() + WAITS_MS } });
}

/** What is waited for, if anything. */
export async function waitsFor() {
  const { renewing } = await chrome.storage.session.get('renewing');
  return renewing && Date.now() < renewing.until ? renewing : null;
}

/** Waits no more. */
export function end() {
  return chrome.storage.session.remove('renewing');
}

/** The job that a download is the new link of, if it is for one. */
export async function wanted(item, tab) {
  const renewing = await waitsFor();
  if (!renewing) return null;
  const page = webUrl(renewing.page)?.hostname;
  const from = [item.referrer, tab?.url].map((url) => webUrl(url ?? '')?.hostname);
  return tab?.id === renewing.tab || from.includes(page) ? renewing : null;
}

/** Gives the job its new link. Whether that works or not, the next download is an ordinary one again. */
export async function carryOut(renewing, change) {
  await end();
  try {
    return await daemon.renew(renewing.id, change, PROOF_MS);
  } catch (error) {
    if (error.code === 'source-changed') throw new Error(`this is another file than ${renewing.name}`);
    throw error;
  }
}

/** The page that each of these jobs comes from: as this browser remembers it, else as haul tells it. */
export async function pages(jobs) {
  const known = new Map((await store.handed()).map((job) => [job.id, job.page]));
  // Of what haul tells, the query is hidden.
  return new Map(jobs.map((job) => [job.id, known.get(job.id) ?? job.page_url?.replace(/\?…$/, '') ?? null]));
}
