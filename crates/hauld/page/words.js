// What is said of a job.

import { size, span } from './format.js';

// The file's name, or what the URL lets expect of it.
export function name(job) {
  if (job.filename) return job.filename;
  const plain = job.url.split(/[?#]/)[0].replace(/\/+$/, '');
  const last = plain.slice(plain.lastIndexOf('/') + 1);
  try {
    return decodeURIComponent(last) || plain;
  } catch {
    return last || plain;
  }
}

// `example.org:8443`
export function host(url) {
  return /^[a-z]+:\/\/([^/?#]*)/i.exec(url)?.[1] ?? '';
}

// The server as the API names it.
export function origin(url) {
  return /^[a-z]+:\/\/[^/?#]*/i.exec(url)?.[0] ?? url;
}

// What a reason says, without the numbers behind it; that it is about the job's own link is clear from where it stands.
const said = (job) =>
  (job.reason?.message ?? '')
    .replace(/^https?:\/\/\S+ (answered|sent|redirects)/, 'the server $1')
    .replace(/^(\d+) bytes are missing in (.+?)\/?: \d.*$/, (_, bytes, dir) => `${size(Number(bytes))} more in ${dir}`);

const WAITS = {
  retry: 'waiting to try again',
  host: 'the server is left alone for a while',
  disk: 'waiting for space on the disk',
  network: 'waiting for a network',
  schedule: 'waiting for its time of day',
  link: 'the link has expired',
  volume: 'waiting for its volume',
};

// Seconds until the next attempt, if there is one. That the disk is looked at again is none.
export function nextTry(job, now = Date.now()) {
  const at = job.state === 'waiting' && ['retry', 'host'].includes(job.waiting_for) ? job.reason?.retry_at : null;
  return at ? Math.max(0, Math.ceil((Date.parse(at) - now) / 1000)) : null;
}

// The state in words, with the reason where there is one.
export function words(job, now = Date.now()) {
  switch (job.state) {
    case 'queued':
      return job.start_at ? `starts at ${new Date(job.start_at).toLocaleString()}` : 'queued';
    case 'probing':
      return 'asking the server';
    case 'active':
      return 'fetching';
    case 'verifying':
      return 'checking the file';
    case 'waiting': {
      const seconds = nextTry(job, now);
      const message = seconds === null ? said(job) : said(job).split('; next ')[0];
      const why = [WAITS[job.waiting_for] ?? 'waiting', message].filter(Boolean).join(': ');
      if (seconds === null) return why;
      return `next try ${seconds === 0 ? 'now' : `in ${span(seconds)}`}: ${message}`;
    }
    case 'failed':
      return job.reason ? `failed: ${said(job)}` : 'failed';
    case 'completed':
      return job.verification === 'damaged' ? 'the file is damaged' : COMPLETED[job.verification] ?? 'completed';
    default:
      return job.state;
  }
}

const COMPLETED = {
  checksum: 'completed, checksum right',
  validator: 'completed, same version throughout',
  overlap: 'completed, samples compared',
  length: 'completed, size right',
};

// What a state means for colour.
export function tone(job) {
  if (job.state === 'failed' || job.verification === 'damaged') return 'bad';
  if (job.state === 'waiting') return job.waiting_for === 'schedule' ? 'quiet' : 'warn';
  if (job.state === 'completed') return 'good';
  return ['active', 'probing', 'verifying'].includes(job.state) ? 'busy' : 'quiet';
}
