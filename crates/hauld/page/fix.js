// The one button that mends what holds a job up.

import { openHost } from './hosts.js';
import { freeSpace } from './space.js';
import { origin } from './words.js';

// Faults of a link: another one helps.
const LINK = new Set([
  'http-status', 'auth-required', 'too-many-redirects', 'redirect-scheme', 'redirect-downgrade', 'range-mismatch',
  'malformed-response', 'unexpected-encoding', 'checksum-mismatch', 'dns',
]);

const WAITING = {
  link: { text: 'Renew link', run: (job, actions) => actions.renew(job) },
  host: { text: 'Server…', run: (job) => openHost(origin(job.url)) },
  disk: { text: 'Free space…', run: (job, actions) => freeSpace(job, actions) },
  // Trying again would not help: it is not its time.
  schedule: { text: 'Start anyway…', run: (job, actions) => actions.startAnyway(job) },
};

const TRY_NOW = { text: 'Try now', run: (job, actions) => actions.resume([job]) };
const RETRY = { text: 'Retry', run: (job, actions) => actions.retry([job]) };

const FAILED = {
  'target-exists': { text: 'Rename', run: (job, actions) => actions.rename(job) },
  'source-changed': { text: 'Start over', run: (job, actions) => actions.startOver(job) },
};

// What mends this job: `{ text, run(job, actions) }`, or `null` where nothing is to be mended.
export function fixOf(job) {
  if (job.state === 'waiting') return WAITING[job.waiting_for] ?? TRY_NOW;
  if (job.state === 'failed') {
    const code = job.reason?.code;
    return FAILED[code] ?? (LINK.has(code) ? WAITING.link : RETRY);
  }
  if (job.verification === 'damaged' && job.state === 'completed') {
    return { text: 'Repair', run: (damaged, actions) => actions.verify(damaged, true) };
  }
  return null;
}
