// The menu of a row: what can be done with the jobs that are meant there.

import { byId, el } from './dom.js';
import { fixOf } from './fix.js';
import { canCancel, canMove, canPause, canResume, canRetry, canTryNow } from './selection.js';

// From the edge of the window.
const GAP = 8;

export class Menu {
  constructor(list, drawer, actions) {
    Object.assign(this, { list, drawer, actions });
    // The browser closes it with Escape or a click beside it, and gives the focus back.
    this.element = el('div', { class: 'menu', role: 'menu', popover: 'auto', 'aria-label': 'Job', on: { keydown: (event) => this.#pressed(event) } });
    document.body.append(this.element);
    byId('list').addEventListener('contextmenu', (event) => {
      event.preventDefault();
      const row = event.target.closest?.('.row');
      // The key for it tells of the list, not of a row.
      if (row) this.openAt(row.row.job.id, event.clientX, event.clientY);
      else this.open();
    });
  }

  // At the row where the keys are.
  open() {
    this.list.settle();
    const id = this.list.current;
    if (!this.list.view.some((job) => job.id === id)) return;
    // A row that cannot be seen is not in the document.
    const { left, top, height } = (byId(`job-${id}`) ?? byId('list')).getBoundingClientRect();
    this.openAt(id, left + 48, top + Math.min(height, this.list.height) - GAP);
  }

  openAt(id, x, y) {
    const { list } = this;
    if (!list.selected.has(id)) {
      list.clear();
      list.goTo(id);
    }
    this.element.replaceChildren(...this.#entries(list.chosen()));
    this.element.showPopover();
    const { offsetWidth: width, offsetHeight: height, style } = this.element;
    style.left = `${Math.max(GAP, Math.min(x, innerWidth - width - GAP))}px`;
    style.top = `${Math.max(GAP, Math.min(y, innerHeight - height - GAP))}px`;
    this.element.firstChild.focus();
  }

  #entries(jobs) {
    const { actions } = this;
    const [first] = jobs;
    const fix = jobs.length === 1 ? fixOf(first) : null;
    const some = (fits) => jobs.some(fits);
    const entries = [
      [fix?.text, 'f', fix !== null, () => fix.run(first, actions)],
      ['Pause', 'Space', some(canPause), () => actions.pause(jobs)],
      ['Resume', 'Space', some(canResume), () => actions.resume(jobs)],
      ['Try now', 'r', some(canTryNow) && fix?.text !== 'Try now', () => actions.resume(jobs)],
      ['Retry', 'r', some(canRetry) && fix?.text !== 'Retry', () => actions.retry(jobs)],
      ['All about it', 'Enter', jobs.length === 1, () => this.drawer.open(first.id)],
      ['First in the queue', 'Alt Shift ↑', some(canMove), () => actions.move(jobs, 'top')],
      ['Last in the queue', 'Alt Shift ↓', some(canMove), () => actions.move(jobs, 'bottom')],
      ['Higher priority', 'Alt ↑', some(canMove), () => actions.prioritize(jobs, 1)],
      ['Lower priority', 'Alt ↓', some(canMove), () => actions.prioritize(jobs, -1)],
      [jobs.length === 1 ? 'Copy link' : 'Copy links', 'c', true, () => actions.copyUrls(jobs)],
      ['Export', 'e', true, () => actions.export(jobs)],
      ['Give up…', '', some(canCancel), () => actions.cancel(jobs)],
      ['Delete', 'Del', true, () => actions.remove(jobs, false)],
      [jobs.length === 1 ? 'Delete with file' : 'Delete with files', 'Shift Del', true, () => actions.remove(jobs, true)],
    ];
    return entries
      .filter(([, , fits]) => fits)
      .map(([text, keys, , run]) =>
        el('button', { type: 'button', role: 'menuitem', tabIndex: -1, on: { click: () => this.#chose(run) } }, el('span', {}, text), el('span', { class: 'muted', 'aria-hidden': 'true' }, keys)),
      );
  }

  #chose(run) {
    this.element.hidePopover();
    run();
  }

  #pressed(event) {
    // The keys of the page are not meant here.
    event.stopPropagation();
    const entries = [...this.element.children];
    const at = entries.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      entries.at(to % entries.length).focus();
    } else if (event.key === 'Tab') {
      event.preventDefault();
      this.element.hidePopover();
    } else if (/^\p{L}$/u.test(event.key)) {
      // The next one that begins with this letter.
      const next = [...entries.slice(at + 1), ...entries].find((entry) => entry.textContent.toLowerCase().startsWith(event.key.toLowerCase()));
      next?.focus();
    }
  }
}
