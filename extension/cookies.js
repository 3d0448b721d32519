// Cookies as haul takes them. The mapping is pure; gathering asks the browser, where the user has permitted that.

import { webUrl } from './rules.js';

/** The most that haul takes with one job. */
const COOKIES_MAX = 1000;

/** Bytes of a cookie's name and value together (RFC 6265 section 6.1), which is what haul takes. */
const COOKIE_BYTES_MAX = 4096;

/** A cookie of the browser as haul takes it, or null where haul would not take it. */
export function toHaul(cookie) {
  const bytes = new TextEncoder().encode(cookie.name + cookie.value).length;
  const isOdd = (text) => /[\u0000-\u001f\u007f;]/.test(text);
  if (!cookie.name || /[= ]/.test(cookie.name) || isOdd(cookie.name) || isOdd(cookie.value)) return null;
  if (bytes > COOKIE_BYTES_MAX) return null;
  const mapped = {
    name: cookie.name,
    value: cookie.value,
    domain: cookie.domain.replace(/^\./, ''),
    host_only: Boolean(cookie.hostOnly),
    path: cookie.path?.startsWith('/') ? cookie.path : '/',
    secure: Boolean(cookie.secure),
  };
  const ends = new Date((cookie.expirationDate ?? NaN) * 1000);
  // Browsers know ends that lie further off than any date that can be written.
  if (!Number.isNaN(ends.valueOf()) && ends.getUTCFullYear() <= 9999) mapped.expires = ends.toISOString();
  return mapped;
}

/** Those that a request gets: not partitioned, or of the partition of one of these sites; each once. */
export function pick(cookies, sites) {
  const known = new Map();
  for (const cookie of cookies) {
    const partition = cookie.partitionKey?.topLevelSite;
    if (partition && !sites.some((site) => inSite(site, partition))) continue;
    const mapped = toHaul(cookie);
    if (mapped) known.set(JSON.stringify([mapped.domain, mapped.host_only, mapped.path, mapped.name]), mapped);
  }
  return [...known.values()].slice(0, COOKIES_MAX);
}

function inSite(page, site) {
  const [page_, site_] = [webUrl(page), webUrl(site)];
  if (!page_ || !site_ || page_.protocol !== site_.protocol) return false;
  return page_.hostname === site_.hostname || page_.hostname.endsWith(`.${site_.hostname}`);
}

/** The value of a `Cookie` header with these. */
export function header(cookies) {
  return cookies.map(({ name, value }) => `${name}=${value}`).join('; ');
}

/** Whether the browser gives this extension cookies at all. */
export function mayRead() {
  return Boolean(globalThis.chrome?.cookies);
}

/**
 * The cookies that the browser would send to these URLs.
 *
 * @param page the page that the click was on, whose partition counts, too
 * @param storeId the container or the private window that they are from; undefined is the usual one
 */
export async function gather(urls, page, storeId) {
  if (!mayRead()) return [];
  const found = [];
  for (const url of new Set(urls)) {
    const wanted = storeId === undefined ? { url } : { url, storeId };
    // An empty key means all partitions; a browser that does not know it says so.
    const all = chrome.cookies.getAll({ ...wanted, partitionKey: {} }).catch(() => chrome.cookies.getAll(wanted));
    // Without the permission for this site there are none.
    found.push(...(await all.catch(() => [])));
  }
  return pick(found, [...urls, page].filter(Boolean));
}
