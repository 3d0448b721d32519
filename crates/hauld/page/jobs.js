// All jobs as this page knows them: loaded page by page, kept right by the stream.

import { Problem, get, jobPath } from './api.js';
import { host, name } from './words.js';

// What the list shows of a job; the drawer asks for the rest.
const FIELDS = [
  'id', 'url', 'state', 'waiting_for', 'reason', 'filename', 'total_bytes', 'done_bytes', 'speed', 'eta_seconds',
  'connections', 'verification', 'label', 'priority', 'bandwidth_limit', 'start_at', 'insecure',
].join(',');
const PAGE = 1000;

// More changed jobs than this are loaded with all others.
const SINGLY_MAX = 40;
const RELOAD_EVERY_MS = 1500;

// Samples of speed, one a second: five minutes of everything, ten of a job.
const TOTAL_SAMPLES = 300;
const JOB_SAMPLES = 600;

export const STATES = ['queued', 'probing', 'active', 'waiting', 'paused', 'verifying', 'completed', 'failed', 'canceled'];

// Filters by state, as the chips show them.
export const CHIPS = [
  { key: 'all', word: 'All', states: STATES },
  { key: 'active', word: 'Active', states: ['probing', 'active', 'verifying'] },
  { key: 'queued', word: 'Queued', states: ['queued'] },
  { key: 'waiting', word: 'Waiting', states: ['waiting'] },
  { key: 'paused', word: 'Paused', states: ['paused'] },
  { key: 'completed', word: 'Completed', states: ['completed'] },
  { key: 'failed', word: 'Failed', states: ['failed'] },
  { key: 'canceled', word: 'Canceled', states: ['canceled'] },
];

const share = (job) => (job.total_bytes ? job.done_bytes / job.total_bytes : job.state === 'completed' ? 1 : 0);

const ORDERS = {
  id: (a, b) => a.id - b.id,
  name: (a, b) => a.shown.name.localeCompare(b.shown.name),
  progress: (a, b) => share(a) - share(b),
  size: (a, b) => (a.total_bytes ?? -1) - (b.total_bytes ?? -1),
  speed: (a, b) => a.speed - b.speed,
  left: (a, b) => (a.eta_seconds ?? Infinity) - (b.eta_seconds ?? Infinity) || 0,
  connections: (a, b) => a.connections.active - b.connections.active,
  host: (a, b) => a.shown.host.localeCompare(b.shown.host),
  priority: (a, b) => a.priority - b.priority,
};

// Orders that change while bytes come.
export const LIVE_ORDERS = new Set(['progress', 'speed', 'left', 'connections']);

// Events: `changed` with a job's `id`; `list` when jobs have come, gone, or count elsewhere; `told` with an event of a job.
export class Jobs extends EventTarget {
  all = new Map();
  counts = Object.fromEntries(STATES.map((state) => [state, 0]));
  filter = { chip: 'all', text: '', label: '' };
  sort = { by: 'id', descending: true };
  totalSpeed = [];
  isLoaded = false;

  #speeds = new Map();
  #retries = new Map();
  #dirty = new Set();
  #gone = new Set();
  #flushing = false;
  #loading = null;
  #loadAgain = false;

  // Loads everything, in pages; what is there is replaced as it comes.
  load() {
    if (this.#loading) {
      this.#loadAgain = true;
      return this.#loading;
    }
    this.#loading = this.#loadAll().finally(() => {
      this.#loading = null;
      if (this.#loadAgain) {
        this.#loadAgain = false;
        setTimeout(() => this.load().catch(() => {}), RELOAD_EVERY_MS);
      }
    });
    return this.#loading;
  }

  async #loadAll() {
    const known = new Set(this.all.keys());
    let cursor = null;
    do {
      const page = await this.#page(cursor);
      for (const job of page.jobs) {
        known.delete(job.id);
        this.put(job);
      }
      cursor = page.next_cursor;
    } while (cursor);
    // What has come meanwhile is newer than the first page.
    for (const id of known) this.#dirty.add(id);
    this.isLoaded = true;
    this.#list();
    this.#flush();
  }

  #page(cursor) {
    const after = cursor ? `&cursor=${encodeURIComponent(cursor)}` : '';
    return get(`/v1/jobs?limit=${PAGE}&fields=${FIELDS}${after}`);
  }

  // A job as the daemon has just shown it.
  put(job) {
    if (this.#gone.has(job.id)) return;
    job.shown = { name: name(job), host: host(job.url) };
    job.hay = `${job.id} ${job.shown.name} ${job.url} ${job.label ?? ''} ${job.reason?.message ?? ''}`.toLowerCase();
    const known = this.all.get(job.id);
    const isOther = !known || known.state !== job.state || known.hay !== job.hay || known.priority !== job.priority;
    if (known) this.counts[known.state] -= 1;
    this.counts[job.state] += 1;
    // There is one object for each job, which the list holds, too.
    if (known) Object.assign(known, job);
    else this.all.set(job.id, job);
    this.#changed(job.id);
    if (isOther) this.#list();
  }

  // Takes a job out, at once and until it is brought back.
  remove(id) {
    const job = this.all.get(id);
    if (!job) return;
    this.all.delete(id);
    this.counts[job.state] -= 1;
    this.#speeds.delete(id);
    this.#list();
  }

  hide(id) {
    this.#gone.add(id);
    this.#dirty.delete(id);
    this.remove(id);
  }

  unhide(id) {
    this.#gone.delete(id);
    this.touch(id);
  }

  // Something of the job has changed: it is asked for, unless it is hidden.
  touch(id) {
    if (this.#gone.has(id)) return;
    this.#dirty.add(id);
    this.#flush();
  }

  // An event of the stream.
  hear(kind, data) {
    if (kind === 'progress') return data.jobs.forEach((progress) => this.#progress(progress));
    if (kind === 'lagged') return void this.load().catch(() => {});
    if (kind === 'deleted') {
      this.#dirty.delete(data.job);
      this.remove(data.job);
    } else {
      if (kind === 'restored') this.#gone.delete(data.job);
      if (kind === 'fault') this.#retries.set(data.job, this.retries(data.job) + (data.count ?? 1));
      this.touch(data.job);
    }
    this.dispatchEvent(new CustomEvent('told', { detail: data }));
  }

  #progress(progress) {
    const job = this.all.get(progress.id);
    if (!job) return this.touch(progress.id);
    const { connections, ...rest } = progress;
    const isOther = job.state !== rest.state || job.waiting_for !== rest.waiting_for;
    if (isOther) {
      this.counts[job.state] -= 1;
      this.counts[rest.state] += 1;
    }
    Object.assign(job, rest);
    job.connections = { ...job.connections, active: connections };
    this.#changed(job.id);
    if (isOther) {
      // Why it waits is not told with its progress.
      this.touch(job.id);
      this.#list();
    }
  }

  async #flush() {
    if (this.#flushing || !this.isLoaded) return;
    this.#flushing = true;
    // What came together with the change may tell that the job is gone.
    await null;
    try {
      while (this.#dirty.size) {
        const ids = [...this.#dirty];
        this.#dirty.clear();
        if (ids.length > SINGLY_MAX) {
          await this.#many(ids);
          continue;
        }
        await Promise.all(ids.map((id) => this.#one(id)));
      }
    } finally {
      this.#flushing = false;
    }
  }

  async #one(id) {
    try {
      this.put(await get(jobPath(id)));
    } catch (error) {
      // After any other failure the stream comes anew, and with it what is missing.
      if (error instanceof Problem && error.status === 404) this.remove(id);
    }
  }

  // Pages from the newest job on, down to the oldest of these.
  async #many(ids) {
    const wanted = new Set(ids);
    const oldest = Math.min(...ids);
    let cursor = null;
    try {
      do {
        const page = await this.#page(cursor);
        for (const job of page.jobs) {
          wanted.delete(job.id);
          this.put(job);
        }
        cursor = (page.jobs.at(-1)?.id ?? 0) > oldest ? page.next_cursor : null;
      } while (cursor);
      for (const id of wanted) this.remove(id);
    } catch {
      // As for one job.
    }
    await new Promise((done) => setTimeout(done, RELOAD_EVERY_MS / 5));
  }

  // The jobs that the filters let through, in order.
  view() {
    const { chip, text, label } = this.filter;
    const states = new Set(CHIPS.find(({ key }) => key === chip).states);
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const jobs = [];
    for (const job of this.all.values()) {
      if (!states.has(job.state) || (label && job.label !== label)) continue;
      if (words.every((word) => job.hay.includes(word))) jobs.push(job);
    }
    const order = ORDERS[this.sort.by];
    const sign = this.sort.descending ? -1 : 1;
    return jobs.sort((a, b) => sign * order(a, b) || b.id - a.id);
  }

  labels() {
    return [...new Set([...this.all.values()].map((job) => job.label).filter(Boolean))].sort();
  }

  retries(id) {
    return this.#retries.get(id) ?? 0;
  }

  // Speeds of one job since the page was opened, one a second.
  speeds(id) {
    return this.#speeds.get(id) ?? [];
  }

  get speed() {
    let total = 0;
    for (const job of this.all.values()) if (job.state === 'active' || job.state === 'probing') total += job.speed;
    return total;
  }

  // Once a second.
  sample() {
    let total = 0;
    for (const job of this.all.values()) {
      if (job.state !== 'active' && job.state !== 'probing') continue;
      total += job.speed;
      const samples = this.#speeds.get(job.id) ?? [];
      samples.push(job.speed);
      if (samples.length > JOB_SAMPLES) samples.shift();
      this.#speeds.set(job.id, samples);
    }
    this.totalSpeed.push(total);
    if (this.totalSpeed.length > TOTAL_SAMPLES) this.totalSpeed.shift();
  }

  #changed(id) {
    this.dispatchEvent(new CustomEvent('changed', { detail: id }));
  }

  #list() {
    this.dispatchEvent(new Event('list'));
  }
}
