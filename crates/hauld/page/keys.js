// The keyboard.

import { byId, el, isTyping } from './dom.js';
import { isDialogOpen, openDialog } from './dialog.js';
import { icon } from './icons.js';

const HELP = [
  ['/', 'search'],
  ['a', 'add'],
  ['Ctrl V', 'add what is in the clipboard'],
  ['j k, arrows', 'next, previous job'],
  ['Enter', 'all about the job'],
  ['Space', 'pause or resume'],
  ['r', 'retry'],
  ['f', 'mend: what the button of the row does'],
  ['x', 'select'],
  ['Ctrl A', 'select all that are shown'],
  ['Delete', 'delete; the file stays'],
  ['Shift Delete', 'delete with the file'],
  ['Alt ↑ ↓', 'priority'],
  ['Alt Shift ↑ ↓', 'first, last in the queue'],
  ['m', 'menu of the row; also by the right button'],
  ['c', 'copy links'],
  ['e', 'export what is selected, else all that are shown, as JSON'],
  ['l', 'limits'],
  ['t', 'turtle: go slowly'],
  ['Esc', 'close, clear'],
];

export function showKeys() {
  const lines = HELP.flatMap(([keys, text]) => [el('dt', {}, el('kbd', {}, keys)), el('dd', {}, text)]);
  openDialog({ title: 'Keys', content: el('dl', { class: 'keys' }, lines) });
}

export class Keys {
  constructor({ list, drawer, actions, add, limits, menu }) {
    Object.assign(this, { list, drawer, actions, add, limits, menu });
    byId('help').append(icon('help'));
    byId('help').addEventListener('click', showKeys);
    document.addEventListener('keydown', (event) => this.#pressed(event));
  }

  #pressed(event) {
    if (isDialogOpen() || event.defaultPrevented || event.isComposing) return;
    if (isTyping(event.target)) {
      if (event.key === 'Escape') event.target.blur();
      // From the search to what it has found.
      if (event.target.id === 'search' && ['Enter', 'ArrowDown'].includes(event.key)) this.#to(event, () => this.#enterList());
      return;
    }
    const run = this.#meaning(event);
    if (run) this.#to(event, run);
  }

  #to(event, run) {
    event.preventDefault();
    run();
  }

  #enterList() {
    byId('list').focus();
    this.list.settle();
    if (!this.list.view.some(({ id }) => id === this.list.current)) this.list.move(1);
  }

  #meaning(event) {
    const { list, actions, drawer } = this;
    const chosen = () => list.chosen();
    const control = event.ctrlKey || event.metaKey;
    if (event.altKey) {
      const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      if (!by) return null;
      return event.shiftKey ? () => actions.move(chosen(), by > 0 ? 'top' : 'bottom') : () => actions.prioritize(chosen(), by);
    }
    if (control) return event.key === 'a' ? () => list.selectAll() : null;
    // A button that has the focus has these keys for itself.
    if (event.target.closest?.('button, input') && [' ', 'Enter'].includes(event.key)) return null;
    switch (event.key) {
      case '/':
        return () => byId('search').focus();
      case 'a':
        return () => this.add.focus();
      case 'j':
      case 'ArrowDown':
        return () => list.move(1, event.shiftKey);
      case 'k':
      case 'ArrowUp':
        return () => list.move(-1, event.shiftKey);
      case 'J':
        return () => list.move(1, true);
      case 'K':
        return () => list.move(-1, true);
      case 'PageDown':
        return () => list.page(1, event.shiftKey);
      case 'PageUp':
        return () => list.page(-1, event.shiftKey);
      case 'Home':
        return () => list.move(-Infinity, event.shiftKey);
      case 'End':
        return () => list.move(Infinity, event.shiftKey);
      case 'Enter':
        return () => list.current !== null && drawer.open(list.current);
      case ' ':
        return () => actions.toggle(chosen());
      case 'Delete':
        return () => this.#remove(event.shiftKey);
      case 'r':
        return () => actions.retry(chosen());
      case 'f':
        return () => chosen().slice(0, 1).forEach((job) => list.onFix(job));
      case 'x':
        return () => list.current !== null && list.toggleSelected(list.current);
      case 'c':
        return () => chosen().length && actions.copyUrls(chosen());
      case 'e':
        return () => this.#export();
      case 'm':
        return () => this.menu.open();
      case 'l':
        return () => this.limits.open();
      case 't':
        return () => this.limits.turtle();
      case '?':
        return showKeys;
      case 'Escape':
        return () => (drawer.isOpen ? drawer.close() : list.clear());
      default:
        return null;
    }
  }

  #export() {
    const jobs = this.list.selected.size ? this.list.chosen() : this.list.view;
    if (jobs.length) this.actions.export(jobs);
  }

  // What comes after what is deleted is the next to be at.
  #remove(withFiles) {
    const jobs = this.list.chosen();
    const gone = new Set(jobs.map(({ id }) => id));
    const at = this.list.view.findIndex(({ id }) => id === this.list.current);
    const next = this.list.view.slice(Math.max(0, at)).find(({ id }) => !gone.has(id)) ?? this.list.view.slice(0, Math.max(0, at)).findLast(({ id }) => !gone.has(id));
    this.list.clear();
    if (next && gone.has(this.list.current)) this.list.goTo(next.id);
    return this.actions.remove(jobs, withFiles);
  }
}
