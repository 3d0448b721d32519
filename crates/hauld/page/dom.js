// Elements are made here and nowhere else. What comes from a daemon or a server is only ever text.

const PROPERTIES = new Set(['checked', 'disabled', 'hidden', 'value', 'tabIndex', 'className', 'textContent']);

// Makes an element. `on` has handlers, `data` has data attributes, the rest are attributes or properties.
export function el(name, props = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === 'on') {
      for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    } else if (key === 'data') {
      Object.assign(element.dataset, value);
    } else if (PROPERTIES.has(key)) {
      element[key] = value;
    } else {
      element.setAttribute(key, value === true ? '' : value);
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// A button with a word.
export function button(text, onClick, props = {}) {
  return el('button', { type: 'button', ...props, on: { click: onClick } }, text);
}

// Changes a text only where it differs, which costs no layout otherwise.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export const byId = (id) => document.getElementById(id);

// Whether keys belong to what has the focus.
export function isTyping(target) {
  return target instanceof HTMLElement && (target.matches('input:not([type=checkbox]), textarea, select') || target.isContentEditable);
}
