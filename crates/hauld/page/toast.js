// Messages that pass, with a button where something can be taken back.

import { button, byId, el } from './dom.js';

const STAYS_MS = 6000;
const SHOWN_MAX = 4;

// Shows a message; `action` is `{ text, run }`. Answers with what takes the message away.
export function toast(message, { tone = 'quiet', action = null, forMs = STAYS_MS } = {}) {
  const shown = el('div', { class: 'toast', data: { tone } }, el('span', {}, message));
  const close = () => shown.remove();
  if (action) {
    shown.append(
      button(action.text, () => {
        close();
        action.run();
      }),
    );
  }
  const place = byId('toasts');
  place.append(shown);
  while (place.children.length > SHOWN_MAX) place.firstChild.remove();
  setTimeout(close, forMs);
  return close;
}

// What went wrong, in the daemon's words.
export const failed = (error) => toast(error.message, { tone: 'bad', forMs: 12000 });
