// The list: only the rows that can be seen are in the document, each at its place, whatever there is.

import { button, byId, el, setText } from './dom.js';
import { fixOf } from './fix.js';
import { percent, size, span, speed } from './format.js';
import { icon, setIcon } from './icons.js';
import { LIVE_ORDERS } from './jobs.js';
import { canPause, canResume, canRetry } from './selection.js';
import { nextTry, tone, words } from './words.js';

// Rows beyond the edge, so that scrolling meets no gap.
const BEYOND = 6;
const RESORT_MS = 2000;
// The list is put in order anew so often at most; a single change is seen at once.
const ORDER_EVERY_MS = 250;

export const ORDERS = [
  { by: 'name', word: 'Name', descending: false },
  { by: 'progress', word: 'Progress', descending: true },
  { by: 'size', word: 'Size', descending: true },
  { by: 'speed', word: 'Speed', descending: true },
  { by: 'left', word: 'Left', descending: false },
  { by: 'connections', word: 'Conns', descending: true },
  { by: 'host', word: 'Server', descending: false },
];

class Row {
  constructor(list) {
    this.check = el('input', { type: 'checkbox', tabIndex: -1, 'aria-label': 'Select' });
    this.name = el('div', { class: 'name' });
    this.words = el('div', { class: 'words' });
    this.fill = el('div', { class: 'fill' });
    this.bar = el('div', { class: 'bar', role: 'progressbar', 'aria-valuemin': '0', 'aria-valuemax': '100', 'aria-label': 'Progress' }, this.fill);
    const cell = (name) => el('div', { class: `cell ${name}`, role: 'gridcell' });
    [this.percent, this.size, this.speed, this.left, this.connections, this.host] = ['percent', 'size', 'speed', 'left', 'conns', 'host'].map(cell);
    this.fix = button('', () => list.onFix(this.job), { class: 'fix', tabIndex: -1 });
    this.toggleIcon = icon('pause');
    this.toggle = el('button', { type: 'button', class: 'icon', tabIndex: -1, on: { click: () => list.onToggle(this.job) } }, this.toggleIcon);
    this.trash = el('button', { type: 'button', class: 'icon trash', tabIndex: -1, title: 'Delete (Del)', 'aria-label': 'Delete', on: { click: (event) => list.onDelete(this.job, event.shiftKey) } }, icon('trash'));
    this.element = el(
      'div',
      { class: 'row', role: 'row' },
      el('div', { class: 'cell check', role: 'gridcell' }, this.check),
      el('div', { class: 'cell what', role: 'gridcell' }, this.name, this.words),
      el('div', { class: 'cell progress', role: 'gridcell' }, this.bar),
      this.percent, this.size, this.speed, this.left, this.connections, this.host,
      el('div', { class: 'cell acts', role: 'gridcell' }, this.fix, this.toggle, this.trash),
    );
    this.element.row = this;
  }

  // Puts it at a place of the list.
  place(index, height) {
    if (this.index === index && this.height === height) return;
    [this.index, this.height] = [index, height];
    this.element.style.transform = `translateY(${index * height}px)`;
    this.element.setAttribute('aria-rowindex', String(index + 1));
  }

  show(job, list) {
    if (this.job?.id !== job.id) {
      this.element.id = `job-${job.id}`;
      this.element.dataset.id = job.id;
    }
    this.job = job;
    setText(this.name, job.shown.name);
    if (this.name.title !== job.url) this.name.title = job.url;
    const retries = list.jobs.retries(job.id);
    const marks = [
      words(job),
      job.state === 'active' && retries > 0 && `${retries} ${retries === 1 ? 'retry' : 'retries'}`,
      job.label,
      job.insecure && 'certificate not looked at',
      job.priority !== 0 && `priority ${job.priority}`,
    ].filter(Boolean).join(' · ');
    setText(this.words, marks);
    if (this.words.title !== marks) this.words.title = marks;
    const done = job.state === 'completed' ? 100 : percent(job.done_bytes, job.total_bytes);
    if (this.done !== done) {
      this.done = done;
      this.fill.style.transform = `scaleX(${(done ?? 0) / 100})`;
      if (done === null) this.bar.removeAttribute('aria-valuenow');
      else this.bar.setAttribute('aria-valuenow', String(done));
    }
    const runs = job.state === 'active' || job.state === 'probing';
    setText(this.percent, done === null ? '' : `${done < 10 ? done.toFixed(1) : Math.floor(done)} %`);
    setText(this.size, size(job.total_bytes ?? (job.done_bytes || null)));
    setText(this.speed, runs ? speed(job.speed) : '');
    setText(this.left, runs && job.eta_seconds !== null ? span(job.eta_seconds) : '');
    setText(this.connections, runs ? `${job.connections.active}/${job.connections.max}` : '');
    setText(this.host, job.shown.host);
    const state = `${tone(job)} ${job.state}`;
    if (this.state !== state) {
      this.state = state;
      this.element.dataset.tone = tone(job);
      this.element.dataset.state = job.state;
    }
    const fix = fixOf(job);
    setText(this.fix, fix?.text ?? '');
    this.fix.hidden = !fix;
    const pauses = canPause(job);
    const word = pauses ? 'Pause' : canRetry(job) ? 'Retry' : 'Resume';
    this.toggle.hidden = !(pauses || canRetry(job) || canResume(job));
    setIcon(this.toggleIcon, pauses ? 'pause' : canRetry(job) ? 'retry' : 'play');
    if (this.toggle.title !== word) {
      this.toggle.title = word;
      this.toggle.setAttribute('aria-label', word);
    }
    this.mark(list);
  }

  // Selected, and where the keys are.
  mark(list) {
    const isSelected = list.selected.has(this.job.id);
    const isCurrent = list.current === this.job.id;
    if (this.isSelected !== isSelected) {
      this.isSelected = isSelected;
      this.check.checked = isSelected;
      this.element.setAttribute('aria-selected', String(isSelected));
    }
    if (this.isCurrent !== isCurrent) {
      this.isCurrent = isCurrent;
      this.element.classList.toggle('current', isCurrent);
      // Of all rows only this one's buttons are on the way of the Tab key.
      for (const control of [this.fix, this.toggle, this.trash]) control.tabIndex = isCurrent ? 0 : -1;
    }
  }
}

// Events: `selection` when other jobs are selected, `open` with a job, `current`.
export class List extends EventTarget {
  selected = new Set();
  current = null;
  view = [];

  #places = new Map();
  #rows = new Map();
  #spare = [];
  #stale = new Set();
  #orderAt = 0;
  #orderTimer = null;
  #frame = null;
  #anchor = null;

  constructor(jobs, actions) {
    super();
    this.jobs = jobs;
    this.actions = actions;
    this.viewport = byId('list');
    this.space = byId('rows');
    this.#heads();
    jobs.addEventListener('changed', ({ detail }) => {
      this.#stale.add(detail);
      this.#draw();
    });
    jobs.addEventListener('list', () => this.order());
    this.viewport.addEventListener('scroll', () => this.#draw(), { passive: true });
    new ResizeObserver(() => this.#measure()).observe(this.viewport);
    this.viewport.addEventListener('click', (event) => this.#clicked(event));
    this.viewport.addEventListener('dblclick', (event) => this.#doubleClicked(event));
    setInterval(() => this.#second(), 1000);
    setInterval(() => LIVE_ORDERS.has(this.jobs.sort.by) && this.order(), RESORT_MS);
    this.#measure();
  }

  onFix = (job) => Promise.resolve(fixOf(job)?.run(job, this.actions));
  onToggle = (job) => this.actions.toggle([job]);
  onDelete = (job, withFile) => this.actions.remove([job], withFile);

  #measure() {
    this.height = parseFloat(getComputedStyle(this.viewport).getPropertyValue('--row')) || 56;
    this.space.style.height = `${this.view.length * this.height}px`;
    this.#draw();
  }

  // Puts all jobs in order anew: soon, and not more often than needed.
  order() {
    if (this.#orderTimer) return;
    const wait = Math.max(0, this.#orderAt + ORDER_EVERY_MS - performance.now());
    this.#orderTimer = setTimeout(() => {
      this.#orderTimer = null;
      this.#order();
    }, wait);
  }

  // What is to be put in order is, before anybody relies on places.
  settle() {
    if (!this.#orderTimer) return;
    clearTimeout(this.#orderTimer);
    this.#orderTimer = null;
    this.#order();
  }

  #order() {
    this.#orderAt = performance.now();
    this.view = this.jobs.view();
    this.#places = new Map(this.view.map((job, index) => [job.id, index]));
    for (const id of this.selected) if (!this.jobs.all.has(id)) this.selected.delete(id);
    this.viewport.setAttribute('aria-rowcount', String(this.view.length));
    this.space.style.height = `${this.view.length * this.height}px`;
    this.viewport.classList.toggle('none', this.view.length === 0);
    for (const job of this.view) if (this.#rows.has(job.id)) this.#stale.add(job.id);
    this.dispatchEvent(new Event('selection'));
    this.dispatchEvent(new Event('ordered'));
    this.#draw();
  }

  #draw() {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = null;
      this.#drawNow();
    });
  }

  #drawNow() {
    const first = Math.max(0, Math.floor(this.viewport.scrollTop / this.height) - BEYOND);
    const last = Math.min(this.view.length, Math.ceil((this.viewport.scrollTop + this.viewport.clientHeight) / this.height) + BEYOND);
    for (const [id, row] of this.#rows) {
      const place = this.#places.get(id);
      if (place === undefined || place < first || place >= last) {
        this.#rows.delete(id);
        this.#spare.push(row);
      }
    }
    for (let index = first; index < last; index += 1) {
      const job = this.view[index];
      let row = this.#rows.get(job.id);
      const isNew = !row;
      if (isNew) {
        row = this.#spare.pop() ?? new Row(this);
        this.#rows.set(job.id, row);
      }
      row.place(index, this.height);
      if (isNew || this.#stale.has(job.id) || row.job !== job) row.show(job, this);
      if (!row.element.isConnected) this.space.append(row.element);
    }
    for (const row of this.#spare) row.element.remove();
    this.#stale.clear();
  }

  // Times to the next attempt count down.
  #second() {
    for (const { job } of this.#rows.values()) if (nextTry(job) !== null) this.#stale.add(job.id);
    if (this.#stale.size) this.#draw();
  }

  #marks() {
    for (const row of this.#rows.values()) row.mark(this);
    this.dispatchEvent(new Event('selection'));
  }

  // The jobs that an action means: those that are selected, else the one where the keys are.
  chosen() {
    this.settle();
    if (this.selected.size) return this.view.filter((job) => this.selected.has(job.id));
    const job = this.jobs.all.get(this.current);
    return job ? [job] : [];
  }

  clear() {
    this.selected.clear();
    this.#marks();
  }

  selectAll() {
    this.settle();
    this.selected = new Set(this.view.map((job) => job.id));
    this.#marks();
  }

  toggleSelected(id) {
    if (!this.selected.delete(id)) this.selected.add(id);
    this.#anchor = id;
    this.#marks();
  }

  #selectTo(id) {
    const [from, to] = [this.#places.get(this.#anchor ?? this.current) ?? 0, this.#places.get(id)].sort((a, b) => a - b);
    for (const job of this.view.slice(from, to + 1)) this.selected.add(job.id);
    this.#marks();
  }

  // Goes so many rows on, and lets them be seen.
  move(by, extend = false) {
    this.settle();
    if (!this.view.length) return;
    const at = this.#places.get(this.current) ?? (by > 0 ? -1 : this.view.length);
    const index = Math.max(0, Math.min(this.view.length - 1, at + by));
    if (extend) this.#anchor ??= this.current;
    this.goTo(this.view[index].id);
    if (extend) this.#selectTo(this.current);
    else this.#anchor = this.current;
  }

  page(by, extend = false) {
    this.move(by * Math.max(1, Math.floor(this.viewport.clientHeight / this.height) - 1), extend);
  }

  goTo(id) {
    this.current = id;
    const top = (this.#places.get(id) ?? 0) * this.height;
    const { scrollTop, clientHeight } = this.viewport;
    if (top < scrollTop) this.viewport.scrollTop = top;
    else if (top + this.height > scrollTop + clientHeight) this.viewport.scrollTop = top + this.height - clientHeight;
    this.viewport.setAttribute('aria-activedescendant', `job-${id}`);
    this.#marks();
    this.#draw();
    this.dispatchEvent(new CustomEvent('current', { detail: id }));
  }

  #clicked(event) {
    const row = event.target.closest?.('.row')?.row;
    if (!row || event.target.closest('button')) return;
    const { id } = row.job;
    if (event.target === row.check || event.ctrlKey || event.metaKey) {
      this.current = id;
      return this.toggleSelected(id);
    }
    if (event.shiftKey) {
      getSelection()?.removeAllRanges();
      return this.#selectTo(id);
    }
    this.#anchor = id;
    this.goTo(id);
    this.dispatchEvent(new CustomEvent('open', { detail: id }));
  }

  #doubleClicked(event) {
    if (event.target.closest?.('.row')) getSelection()?.removeAllRanges();
  }

  #heads() {
    const heads = byId('heads');
    const select = byId('sort');
    this.heads = ORDERS.map((order) => {
      const head = button(order.word, () => this.sortBy(order.by), { class: `head ${order.by}` });
      heads.append(head);
      return { ...order, head };
    });
    const options = [['id', true, 'Newest first'], ['id', false, 'Oldest first'], ...ORDERS.map(({ by, word, descending }) => [by, descending, `By ${word.toLowerCase()}`]), ['priority', true, 'By priority']];
    for (const [by, descending, word] of options) select.append(el('option', { value: `${by} ${descending}` }, word));
    select.addEventListener('change', () => {
      const [by, descending] = select.value.split(' ');
      this.#sort(by, descending === 'true');
    });
    this.#showSort();
  }

  // As a click on a head: this order, then the other way round, then the newest first again.
  sortBy(by) {
    const usual = ORDERS.find((order) => order.by === by).descending;
    const { sort } = this.jobs;
    if (sort.by !== by) this.#sort(by, usual);
    else if (sort.descending === usual) this.#sort(by, !usual);
    else this.#sort('id', true);
  }

  #sort(by, descending) {
    this.jobs.sort = { by, descending };
    this.#showSort();
    this.viewport.scrollTop = 0;
    this.order();
  }

  #showSort() {
    const { by, descending } = this.jobs.sort;
    byId('sort').value = `${by} ${descending}`;
    for (const { head, ...order } of this.heads) {
      head.dataset.order = order.by === by ? (descending ? 'down' : 'up') : '';
      head.setAttribute('aria-pressed', String(order.by === by));
    }
  }
}
