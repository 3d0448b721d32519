// All about one job, beside the list.

import { get, jobPath } from './api.js';
import { button, byId, el, setText } from './dom.js';
import { chunksInWords, drawChunks, flightsOf } from './chunks.js';
import { fixOf } from './fix.js';
import { percent, size, span, speed, time } from './format.js';
import { drawGraph } from './graph.js';
import { openHost } from './hosts.js';
import { icon } from './icons.js';
import { JobOptions } from './options.js';
import { canCancel, canPause, canResume, canRetry, canTryNow } from './selection.js';
import { origin, tone, words } from './words.js';

const LOOK_MS = 1000;
// Of a job that does nothing.
const LOOK_IDLE_MS = 5000;
const EVENTS_MAX = 200;
const GRAPH_PLACES = 300;

const LEGEND = [
  ['done', 'there'],
  ['flight', 'a connection, faint where it goes'],
  ['backoff', 'waiting after a fault'],
  ['strike', 'replaced for being slow'],
  ['exempt', 'slow and left alone'],
];

export class Drawer {
  id = null;

  #whole = null;
  #chunks = [];
  #events = [];
  // What had happened before it was opened is among them.
  #before = false;
  #asked = null;
  #timer = null;

  constructor(jobs, list, actions) {
    Object.assign(this, { jobs, list, actions });
    this.element = byId('drawer');
    this.#build();
    jobs.addEventListener('changed', ({ detail }) => detail === this.id && this.#head());
    jobs.addEventListener('told', ({ detail }) => detail.job === this.id && this.#told(detail));
    jobs.addEventListener('list', () => this.id !== null && !jobs.all.has(this.id) && jobs.isLoaded && this.close());
    list.addEventListener('open', ({ detail }) => this.open(detail));
    // Who goes through the list with the keys sees each job.
    list.addEventListener('current', ({ detail }) => this.id !== null && detail !== this.id && this.open(detail));
  }

  #build() {
    this.name = el('h2', { class: 'clip' });
    this.state = el('p', { class: 'state' });
    this.bar = el('div', { class: 'fill' });
    this.sizes = el('p', { class: 'muted numbers' });
    this.fix = button('', () => fixOf(this.#job)?.run(this.#job, this.actions), { class: 'primary' });
    const act = (text, run, fits) => ({ fits, element: button(text, () => run([this.#job])) });
    this.acts = [
      act('Pause', this.actions.pause, canPause),
      act('Resume', this.actions.resume, canResume),
      act('Try now', this.actions.resume, canTryNow),
      act('Retry', this.actions.retry, canRetry),
      act('Renew link', ([job]) => this.actions.renew(job), (job) => !['completed', 'canceled', 'verifying'].includes(job.state)),
      act('Verify', ([job]) => this.actions.verify(job, false), (job) => job.state === 'completed'),
      act('Repair', ([job]) => this.actions.verify(job, true), (job) => job.verification === 'damaged'),
      act('Server…', ([job]) => openHost(origin(job.url)), () => true),
      act('Copy link', (some) => this.actions.copyUrls(some), () => true),
      act('Cancel', this.actions.cancel, canCancel),
      act('Delete', (some) => this.actions.remove(some, false), () => true),
    ];
    this.why = el('p', { class: 'why' });
    this.reasons = el('ul', { class: 'facts' });
    this.map = el('canvas', { class: 'map', role: 'img' });
    this.legend = el('ul', { class: 'legend' }, LEGEND.map(([kind, text]) => el('li', {}, el('i', { class: kind }), text)));
    this.flights = el('table', { class: 'flights' });
    this.graph = el('canvas', { class: 'graph', role: 'img', 'aria-label': 'Speed of this job' });
    this.mirrors = el('ul', { class: 'facts' });
    this.options = new JobOptions(this.actions);
    this.facts = el('dl', { class: 'about' });
    this.history = el('ol', { class: 'events' });
    const section = (title, ...content) => el('section', {}, el('h3', {}, title), content);
    this.parts = {
      why: section('What holds it back', this.why, this.reasons),
      chunks: section('Chunks', this.map, this.legend, this.flights),
      speed: section('Speed', this.graph),
      mirrors: section('Mirrors', this.mirrors),
      options: section('Options', this.options.element),
      facts: section('About', this.facts),
      events: section('What has happened', this.history),
    };
    this.element.append(
      el(
        'header',
        {},
        el('div', { class: 'line' }, this.name, el('button', { type: 'button', class: 'icon', title: 'Close (Esc)', 'aria-label': 'Close', on: { click: () => this.close() } }, icon('close'))),
        this.state,
        el('div', { class: 'bar' }, this.bar),
        this.sizes,
        el('div', { class: 'acts' }, this.fix, this.acts.map(({ element }) => element)),
      ),
      el('div', { class: 'body' }, Object.values(this.parts)),
    );
  }

  get #job() {
    const known = this.jobs.all.get(this.id);
    return this.#whole && known ? { ...this.#whole, ...known } : known;
  }

  get isOpen() {
    return this.id !== null;
  }

  open(id) {
    if (this.id === id) return;
    this.id = id;
    this.element.hidden = false;
    document.body.classList.add('with-drawer');
    [this.#whole, this.#chunks, this.#events, this.#before] = [null, [], [], false];
    for (const part of [this.why, this.reasons, this.flights, this.mirrors, this.facts, this.history]) part.replaceChildren();
    this.#head();
    this.#look();
  }

  close() {
    if (this.id === null) return;
    this.#asked?.abort();
    clearTimeout(this.#timer);
    this.id = null;
    this.element.hidden = true;
    document.body.classList.remove('with-drawer');
    byId('list').focus({ preventScroll: true });
  }

  // Asks for everything, and again while it is open and can be seen.
  async #look() {
    this.#asked?.abort();
    clearTimeout(this.#timer);
    const asked = new AbortController();
    this.#asked = asked;
    const { id } = this;
    const options = { signal: asked.signal };
    try {
      const wanted = [get(jobPath(id), options), get(jobPath(id, '/chunks'), options), get(jobPath(id, '/why'), options)];
      if (!this.#before) wanted.push(this.#history(id, options));
      const [whole, { chunks }, why] = await Promise.all(wanted);
      if (this.id !== id) return;
      [this.#whole, this.#chunks] = [whole, chunks];
      this.#head();
      this.#body(why);
    } catch {
      // It comes again; what is wrong is shown elsewhere.
    }
    if (this.id !== id || asked.signal.aborted) return;
    const runs = ['active', 'probing', 'verifying'].includes(this.#job?.state) && document.visibilityState === 'visible';
    this.#timer = setTimeout(() => this.#look(), runs ? LOOK_MS : LOOK_IDLE_MS);
  }

  // The newest events; a job has a thousand at most, and one page holds them.
  async #history(id, options) {
    const { events } = await get(jobPath(id, '/events?limit=1000'), options);
    if (this.id !== id) return;
    const later = this.#events.filter((event) => event.id > (events.at(-1)?.id ?? 0));
    this.#events = [...events, ...later].slice(-EVENTS_MAX);
    this.#before = true;
    this.history.replaceChildren(...this.#events.map(line).reverse());
  }

  #told(event) {
    if ((this.#events.at(-1)?.id ?? 0) < event.id) {
      this.#events.push(event);
      this.history.prepend(line(event));
      while (this.history.children.length > EVENTS_MAX) this.history.lastChild.remove();
    }
    // What has happened may change all that is shown.
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), LOOK_MS / 4);
  }

  #head() {
    const job = this.#job;
    if (!job) return;
    setText(this.name, job.shown.name);
    this.name.title = job.shown.name;
    this.element.dataset.tone = tone(job);
    setText(this.state, words(job));
    const done = job.state === 'completed' ? 100 : percent(job.done_bytes, job.total_bytes);
    this.bar.style.transform = `scaleX(${(done ?? 0) / 100})`;
    const runs = job.state === 'active' || job.state === 'probing';
    setText(
      this.sizes,
      [
        job.total_bytes === null ? size(job.done_bytes) : `${size(job.done_bytes)} of ${size(job.total_bytes)}`,
        done !== null && `${done} %`,
        runs && speed(job.speed),
        runs && job.eta_seconds !== null && `${span(job.eta_seconds)} left`,
        runs && `${job.connections.active} of ${job.connections.max} connections`,
      ].filter(Boolean).join(' · '),
    );
    const fix = fixOf(job);
    this.fix.hidden = !fix;
    setText(this.fix, fix?.text ?? '');
    for (const { fits, element } of this.acts) element.hidden = !fits(job) || element.textContent === fix?.text;
    this.options.show(job);
  }

  #body(why) {
    const job = this.#job;
    if (!job) return;
    setText(this.why, why.summary);
    replace(this.reasons, why.reasons.map((reason) => reason.message).filter((message) => message !== why.summary));
    this.parts.chunks.hidden = !this.#chunks.length;
    drawChunks(this.map, this.#chunks, job.total_bytes);
    this.map.setAttribute('aria-label', `Chunks: ${chunksInWords(this.#chunks)}`);
    this.#flights();
    const samples = this.jobs.speeds(job.id);
    this.parts.speed.hidden = samples.length < 2;
    drawGraph(this.graph, samples, Math.max(60, Math.min(GRAPH_PLACES, samples.length)), job.bandwidth_limit);
    this.parts.mirrors.hidden = (job.mirrors ?? []).length < 2;
    replace(this.mirrors, (job.mirrors ?? []).map(mirrorInWords));
    this.parts.options.hidden = ['completed', 'canceled'].includes(job.state);
    this.#about(job);
  }

  // A line for each connection, and for each chunk that was in trouble.
  #flights() {
    const waiting = this.#chunks.filter((chunk) => chunk.state === 'backoff').map((chunk) => ({ ...chunk, at: chunk.start + chunk.done_bytes, waits: true }));
    const shown = [...flightsOf(this.#chunks), ...waiting].slice(0, 80);
    const head = el('tr', {}, ['At', 'To', 'Speed', 'Retries', 'Strikes', 'Last error'].map((word) => el('th', { scope: 'col' }, word)));
    const lines = shown.map((flight) => {
      const mark = el('i', { class: flight.waits ? 'dot backoff' : 'dot' });
      if (!flight.waits) mark.style.background = `hsl(${flight.hue} 65% 50%)`;
      const cells = [
        [mark, size(flight.at)],
        [flight.end === null ? 'the end' : size(flight.end)],
        [flight.waits ? 'waits' : flight.speed === null ? '–' : speed(flight.speed)],
        [String(flight.retries)],
        [flight.exempt ? `${flight.strikes}, left alone` : String(flight.strikes)],
        [flight.last_error ?? ''],
      ];
      return el('tr', {}, cells.map((content) => el('td', {}, content)));
    });
    this.flights.replaceChildren(...(lines.length ? [head, ...lines] : []));
    this.flights.hidden = !lines.length;
  }

  #about(job) {
    const facts = [
      ['Link', job.url],
      ['File', job.path],
      ['Checksum', job.checksum ? checksumInWords(job) : null],
      ['Vouched for by', job.verification],
      ['Verified', job.verified ? verifiedInWords(job.verified) : null],
      ['Can be resumed', job.resumable === null ? null : job.resumable ? 'yes' : 'no'],
      ['Proxy', job.proxy],
      ['Added', job.created_at && time(job.created_at)],
      ['Started', job.started_at && time(job.started_at)],
      ['Finished', job.finished_at && time(job.finished_at)],
      ['Average speed', average(job)],
      ['Number', String(job.id)],
    ];
    const shown = facts.filter(([, text]) => text);
    const key = JSON.stringify(shown);
    if (this.facts.dataset.key === key && this.facts.childElementCount) return;
    this.facts.dataset.key = key;
    this.facts.replaceChildren(...shown.flatMap(([word, text]) => [el('dt', {}, word), el('dd', {}, text)]));
  }

  redraw() {
    if (this.id === null) return;
    drawChunks(this.map, this.#chunks, this.#job?.total_bytes ?? null);
    drawGraph(this.graph, this.jobs.speeds(this.id), GRAPH_PLACES);
  }
}

function line(event) {
  return el('li', { data: { kind: event.kind } }, el('time', { datetime: event.at }, time(event.at)), el('span', {}, event.message));
}

// Replaces the lines of a list where they differ.
function replace(list, texts) {
  const key = texts.join('\n');
  if (list.dataset.key === key && list.childElementCount === texts.length) return;
  list.dataset.key = key;
  list.replaceChildren(...texts.map((text) => el('li', {}, text)));
}

function mirrorInWords(mirror) {
  const parts = [
    mirror.state,
    mirror.connections > 0 && `${mirror.connections} connections, ${speed(mirror.speed)}`,
    mirror.done_bytes > 0 && `gave ${size(mirror.done_bytes)}`,
    mirror.reason?.message,
  ];
  return `${mirror.url}: ${parts.filter(Boolean).join(', ')}`;
}

const checksumInWords = ({ checksum }) => (typeof checksum === 'string' ? checksum : `${checksum.algorithm}:${checksum.hex}`);

function verifiedInWords({ at, bad, checked_bytes: checked, reason }) {
  const found = bad.length ? `${bad.length} damaged: ${bad.map(({ start, end }) => `${start}–${end - 1}`).join(', ')}` : 'intact';
  return `${time(at)}: ${found}, ${size(checked)} checked${reason ? `; ${reason}` : ''}`;
}

function average(job) {
  if (!job.started_at || !job.finished_at || job.state !== 'completed') return null;
  const seconds = (Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000;
  return seconds > 0 ? speed(job.done_bytes / seconds) : null;
}
