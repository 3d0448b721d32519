// Dialogs: the browser's own element, which keeps the focus and closes with Escape.

import { button, el } from './dom.js';

let number = 0;

// Opens a dialog. `onSubmit` may refuse by throwing; it then stays and shows why, at the field that is to blame.
export function openDialog({ title, content, submit = 'OK', onSubmit = null, wide = false }) {
  number += 1;
  const titleId = `dialog-${number}`;
  const problem = el('p', { class: 'error', role: 'alert' });
  const close = button(onSubmit ? 'Cancel' : 'Close', () => dialog.close());
  const go = onSubmit && el('button', { type: 'submit', class: 'primary' }, submit);
  const form = el(
    'form',
    { on: { submit: sent } },
    el('h2', { id: titleId }, title),
    el('div', { class: 'content' }, content),
    problem,
    el('div', { class: 'ends' }, close, go),
  );
  const dialog = el('dialog', { class: wide ? 'wide' : null, 'aria-labelledby': titleId }, form);

  async function sent(event) {
    event.preventDefault();
    if (!onSubmit || go.disabled) return;
    problem.textContent = '';
    for (const field of form.querySelectorAll('[aria-invalid]')) field.removeAttribute('aria-invalid');
    go.disabled = true;
    try {
      if ((await onSubmit()) !== 'stay') dialog.close();
    } catch (error) {
      problem.textContent = error.message;
      const blamed = error.field && form.querySelector(`[name="${CSS.escape(error.field)}"]`);
      blamed?.setAttribute('aria-invalid', 'true');
      blamed?.focus();
    } finally {
      go.disabled = false;
    }
  }

  dialog.addEventListener('close', () => dialog.remove());
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  form.querySelector('[data-first]')?.focus();
  return { dialog, form, problem, go, close: () => dialog.close() };
}

// A labelled input. `hint` is said below it.
export function field(text, input, hint = null) {
  return el('label', { class: 'field' }, el('span', { class: 'name' }, text), input, hint && el('span', { class: 'hint' }, hint));
}

export const input = (name, props = {}) => el('input', { name, type: 'text', autocomplete: 'off', spellcheck: 'false', ...props });

export function checkbox(name, text, props = {}) {
  return el('label', { class: 'check' }, el('input', { name, type: 'checkbox', ...props }), el('span', {}, text));
}

export const isDialogOpen = () => document.querySelector('dialog[open]') !== null;
