// URLs in texts and pages. Pure.

import { ending, webUrl } from './rules.js';

/** Links beyond this are not looked at: a guess at more than anybody wants. */
export const LINKS_MAX = 5000;

/** The URLs in a text, each once, in their order. */
export function urlsIn(text) {
  const found = text.match(/(?:https?:\/\/|www\.)[^\s<>"'`{}|\\^«»“”]+/gi) ?? [];
  return unique(found.map(trimmed).map((url) => (/^www\./i.test(url) ? `https://${url}` : url)));
}

/** Without what belongs to the sentence and not to the URL. */
function trimmed(text) {
  let url = text;
  for (;;) {
    const last = url.at(-1);
    const isOpened = (open) => url.split(open).length >= url.split(last).length;
    if (/[.,;:!?*_~]/.test(last) || (last === ')' && !isOpened('(')) || (last === ']' && !isOpened('['))) {
      url = url.slice(0, -1);
    } else {
      return url;
    }
  }
}

/** The web URLs of a list, each once, without fragments. */
export function unique(urls) {
  const known = new Set();
  for (const text of urls) {
    const url = webUrl(text);
    if (!url) continue;
    url.hash = '';
    known.add(url.href);
    if (known.size === LINKS_MAX) break;
  }
  return [...known];
}

/** What a browser tells a server of the page that a link stands on: another site learns where it is, but not what. */
export function referrer(page, url) {
  if (page.protocol === 'https:' && url.protocol === 'http:') return undefined;
  return page.origin === url.origin ? page.href.replace(/#.*/, '') : `${page.origin}/`;
}

/** Links `{url, text}` of a page, each URL once with its first text that is not empty. */
export function uniqueLinks(links) {
  const known = new Map();
  for (const link of links) {
    const [url] = unique([link.url]);
    if (!url) continue;
    const text = (known.get(url)?.text || link.text || '').replace(/\s+/g, ' ').trim().slice(0, 200);
    known.set(url, { url, text, type: ending(new URL(url).pathname) });
    if (known.size === LINKS_MAX) break;
  }
  return [...known.values()];
}

/** Those of the links in which all words of the filter occur, and that have this ending, if one is given. */
export function filtered(links, filter, type = '') {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  return links.filter(({ url, text, type: own }) => {
    const all = `${url} ${text}`.toLowerCase();
    return (!type || own === type) && words.every((word) => all.includes(word));
  });
}
