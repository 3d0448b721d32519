// The times of day that have a limit of their own, as they are edited.

import { Problem } from './api.js';
import { button, el } from './dom.js';
import { input } from './dialog.js';
import { parseRate, typedRate } from './format.js';
import { icon } from './icons.js';

const DAYS = [
  ['mon', 'Mon'], ['tue', 'Tue'], ['wed', 'Wed'], ['thu', 'Thu'], ['fri', 'Fri'], ['sat', 'Sat'], ['sun', 'Sun'],
];

// As the daemon has it: no days are all days, and the end of a day is the beginning of the next.
const plain = ({ from, to, days, bandwidth_limit }) => {
  const some = DAYS.map(([day]) => day).filter((day) => days?.includes(day));
  const window = { from, to: to === '24:00' ? '00:00' : to, bandwidth_limit };
  return some.length > 0 && some.length < DAYS.length ? { ...window, days: some } : window;
};

export class Schedule {
  #rows = [];

  constructor(windows) {
    this.before = JSON.stringify(windows.map(plain));
    this.list = el('ul', { class: 'windows' });
    this.add = button('Add times of day', () => this.#add({ from: '08:00', to: '18:00', bandwidth_limit: 0 }).from.focus());
    this.element = el(
      'fieldset',
      { class: 'field' },
      el('legend', { class: 'name' }, 'Times of day'),
      this.list,
      el('p', {}, this.add),
      el('span', { class: 'hint' }, 'their limit counts instead of the one above; of several at a time the first; an end before its beginning is on the next day'),
    );
    windows.forEach((window) => this.#add(plain(window)));
  }

  #add(window) {
    const row = {
      from: el('input', { type: 'time', required: true, 'aria-label': 'From', value: window.from }),
      to: el('input', { type: 'time', required: true, 'aria-label': 'To', value: window.to }),
      limit: input('', { placeholder: 'no limit', 'aria-label': 'Limit', value: typedRate(window.bandwidth_limit) }),
      days: DAYS.map(([day, word]) => ({ day, word, box: el('input', { type: 'checkbox', checked: window.days?.includes(day) ?? true }) })),
    };
    const takeAway = () => {
      this.#rows = this.#rows.filter((other) => other !== row);
      row.element.remove();
      this.#number();
      this.add.focus();
    };
    const remove = el('button', { type: 'button', class: 'icon', title: 'Remove', 'aria-label': 'Remove', on: { click: takeAway } }, icon('close'));
    row.element = el(
      'li',
      {},
      el('div', { class: 'line' }, row.from, 'to', row.to, row.limit, remove),
      el('div', { class: 'line days', role: 'group', 'aria-label': 'Days on which it begins' }, row.days.map(({ word, box }) => el('label', {}, box, word))),
    );
    this.#rows.push(row);
    this.list.append(row.element);
    this.#number();
    return row;
  }

  // As a refusal names what is to blame.
  #number() {
    this.#rows.forEach((row, index) => {
      const name = (field) => `bandwidth_schedule[${index}].${field}`;
      [row.from.name, row.to.name, row.limit.name] = [name('from'), name('to'), name('bandwidth_limit')];
      for (const { box } of row.days) box.name = name('days');
    });
  }

  // All windows where something was changed, else nothing.
  read() {
    const windows = this.#rows.map((row) => {
      const rate = parseRate(row.limit.value);
      if (rate === null) throw new Problem({ detail: 'a limit is a number with a unit, such as 2MB or 500KB', field: row.limit.name });
      const days = row.days.filter(({ box }) => box.checked).map(({ day }) => day);
      if (!days.length) throw new Problem({ detail: 'choose a day, or remove these times', field: row.days[0].box.name });
      return plain({ from: row.from.value, to: row.to.value, days, bandwidth_limit: rate });
    });
    return JSON.stringify(windows) === this.before ? undefined : windows;
  }
}
