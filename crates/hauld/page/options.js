// The options of a job that can be changed while it runs; each counts as soon as it is left.

import { Problem } from './api.js';
import { el } from './dom.js';
import { field, input } from './dialog.js';
import { parseRate, typedRate } from './format.js';

const number = (value) => (value === '' ? null : Number(value));

const rate = (text) => {
  const value = parseRate(text);
  if (value === null) throw new Problem({ detail: 'a limit is a number with a unit, such as 2MB or 500KB', field: 'bandwidth_limit' });
  return value;
};

export class JobOptions {
  constructor(actions) {
    this.actions = actions;
    this.problem = el('p', { class: 'error', role: 'alert' });
    this.fields = [
      this.#field('Connections', 'connections', (job) => job.connections.max, number, { type: 'number', min: '1', max: '64' }),
      this.#field('Bandwidth limit', 'bandwidth_limit', (job) => typedRate(job.bandwidth_limit), rate, { placeholder: 'none' }),
      this.#field('Priority', 'priority', (job) => job.priority, number, { type: 'number', min: '-100', max: '100' }),
      this.#field('Label', 'label', (job) => job.label ?? '', (text) => text || null, { maxlength: '64', placeholder: 'none' }),
    ];
    this.element = el('div', {}, el('div', { class: 'columns' }, this.fields.map(({ element }) => element)), this.problem);
  }

  #field(text, name, shown, read, props) {
    const box = input(name, props);
    box.addEventListener('change', () => this.#change(name, read, box));
    return { box, shown, element: field(text, box) };
  }

  async #change(name, read, box) {
    this.problem.textContent = '';
    box.removeAttribute('aria-invalid');
    try {
      await this.actions.patch(this.job, { [name]: read(box.value.trim()) });
    } catch (error) {
      this.problem.textContent = error.message;
      box.setAttribute('aria-invalid', 'true');
    }
  }

  // Shows a job's; not over what is being typed.
  show(job) {
    if (this.job?.id !== job.id) this.problem.textContent = '';
    this.job = job;
    for (const { box, shown } of this.fields) {
      const value = String(shown(job));
      if (box !== document.activeElement && box.getAttribute('aria-invalid') === null && box.value !== value) box.value = value;
    }
  }
}
