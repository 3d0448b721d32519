// The line at the top, the graph below it, and which jobs are shown.

import { get } from './api.js';
import { button, byId, el, setText } from './dom.js';
import { limit, size, speed } from './format.js';
import { drawGraph } from './graph.js';
import { CHIPS } from './jobs.js';

const SPACE_MS = 60000;
const READY_MS = 15000;
const GRAPH_PLACES = 300;

const HEALTH = { well: 'connected', lost: 'not connected', ill: 'not well' };

export class Top {
  constructor(jobs, list, limits) {
    Object.assign(this, { jobs, list, limits });
    this.#chips();
    this.#label();
    // Escape empties the field in some browsers, and only the second event tells of that.
    for (const kind of ['input', 'search']) byId('search').addEventListener(kind, (event) => this.#filter({ text: event.target.value }));
    jobs.addEventListener('list', () => this.#counts());
    list.addEventListener('ordered', () => this.#empty());
    setInterval(() => this.#second(), 1000);
    jobs.addEventListener('changed', () => this.#speed());
    setInterval(() => this.space().catch(() => {}), SPACE_MS);
    setInterval(() => this.ready(), READY_MS);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#graph());
    new ResizeObserver(() => this.#graph()).observe(byId('graph'));
    this.#counts();
  }

  #filter(change) {
    Object.assign(this.jobs.filter, change);
    byId('list').scrollTop = 0;
    this.#pressed();
    this.list.order();
  }

  #chips() {
    this.chips = CHIPS.map((chip) => {
      const number = el('span', { class: 'number' }, '0');
      const element = button('', () => this.#filter({ chip: chip.key }), { class: 'chip', data: { chip: chip.key } });
      element.append(chip.word, number);
      byId('chips').append(element);
      return { ...chip, element, number };
    });
    this.#pressed();
  }

  #pressed() {
    for (const { key, element } of this.chips) element.setAttribute('aria-pressed', String(this.jobs.filter.chip === key));
  }

  #label() {
    byId('label').addEventListener('change', (event) => this.#filter({ label: event.target.value }));
  }

  #counts() {
    this.countsFrame ??= requestAnimationFrame(() => {
      this.countsFrame = null;
      for (const { key, states, element, number } of this.chips) {
        const count = states.reduce((sum, state) => sum + this.jobs.counts[state], 0);
        setText(number, count.toLocaleString());
        // What there is none of takes no room.
        element.hidden = count === 0 && key !== 'all' && this.jobs.filter.chip !== key;
      }
    });
  }

  #labels() {
    const labels = this.jobs.labels();
    const key = labels.join('\n');
    if (this.labelKey === key) return;
    this.labelKey = key;
    const select = byId('label');
    select.replaceChildren(el('option', { value: '' }, 'All labels'), ...labels.map((label) => el('option', { value: label }, label)));
    if (!labels.includes(this.jobs.filter.label)) this.jobs.filter.label = '';
    select.value = this.jobs.filter.label;
    select.hidden = labels.length === 0;
  }

  #empty() {
    const empty = byId('empty');
    empty.hidden = this.list.view.length > 0 || !this.jobs.isLoaded;
    const hasJobs = this.jobs.all.size > 0;
    setText(empty, hasJobs ? 'No job fits these filters.' : 'Nothing here yet. Paste a link anywhere on this page.');
  }

  #speed() {
    this.speedFrame ??= setTimeout(() => {
      this.speedFrame = null;
      const total = this.jobs.speed;
      setText(byId('speed'), speed(total));
      const title = total > 0 ? `${speed(total)} · haul` : 'haul';
      if (document.title !== title) document.title = title;
    }, 250);
  }

  #second() {
    this.jobs.sample();
    this.#labels();
    this.#speed();
    if (document.visibilityState === 'visible') this.#graph();
  }

  #graph() {
    const canvas = byId('graph');
    drawGraph(canvas, this.jobs.totalSpeed, GRAPH_PLACES, this.limits.settings?.bandwidth_limit_now ?? 0);
    const holds = limit(this.limits.settings?.bandwidth_limit_now ?? 0);
    canvas.title = `the last five minutes; now ${speed(this.jobs.totalSpeed.at(-1) ?? 0)}, ${holds}`;
  }

  // What is free where files go.
  async space() {
    const { directories } = await get('/v1/doctor');
    const targets = directories.filter(({ setting, free_bytes: free }) => setting !== 'data_dir' && free !== null);
    const download = targets.find(({ setting }) => setting === 'download_dir') ?? targets[0];
    if (!download) return;
    setText(byId('space'), `${size(download.free_bytes)} free`);
    byId('space').title = targets.map(({ path, free_bytes: free }) => `${path}: ${size(free)} free`).join('\n');
  }

  // Whether jobs are taken and carried out.
  async ready() {
    try {
      const answer = await fetch('/readyz', { cache: 'no-store' });
      const { ready, reasons } = await answer.json();
      this.notice(ready ? '' : `the daemon is not ready: ${reasons.join('; ')}`);
    } catch {
      // The stream tells that it is gone.
    }
  }

  notice(text) {
    this.trouble = text;
    byId('notice').hidden = !text;
    setText(byId('notice'), text);
    this.health(this.state ?? 'lost');
  }

  // `well` or `lost`, as the stream is.
  health(state) {
    this.state = state;
    const shown = state === 'well' && this.trouble ? 'ill' : state;
    const dot = byId('health');
    dot.dataset.state = shown;
    dot.title = HEALTH[shown];
    setText(dot.firstChild, HEALTH[shown]);
  }
}
