// The context menus: a link, a picture or a film, what is selected, all links of a page.

import * as badge from './badge.js';
import * as cookies from './cookies.js';
import * as daemon from './daemon.js';
import * as store from './store.js';
import { referrer, unique, uniqueLinks, urlsIn } from './links.js';
import { webUrl } from './rules.js';

const MENUS = [
  { id: 'link', title: 'Download link with haul', contexts: ['link'] },
  { id: 'media', title: 'Download with haul', contexts: ['image', 'video', 'audio'] },
  { id: 'selection', title: 'Download links in the selection with haul', contexts: ['selection'] },
  { id: 'page', title: 'Choose from all links of this page…', contexts: ['page', 'action'] },
];

/** Makes the menus anew. */
export async function make() {
  await chrome.contextMenus.removeAll();
  for (const menu of MENUS) chrome.contextMenus.create(menu);
}

/** Does what a menu says. */
export async function clicked(info, tab) {
  const page = tab?.url ?? info.pageUrl;
  switch (info.menuItemId) {
    case 'link':
      return download([info.linkUrl], page, tab);
    case 'media':
      return download([info.srcUrl], page, tab);
    case 'selection': {
      const links = await inPage(tab, selectedLinks).catch(() => []);
      return download([...links, ...urlsIn(info.selectionText ?? '')], page, tab);
    }
    case 'page':
      return choose(tab);
  }
}

/** Opens a page on which the user chooses among all links of a tab. */
export async function choose(tab) {
  let links;
  try {
    links = await inPage(tab, allLinks);
  } catch {
    return badge.notify('This page shows no links to haul', 'The browser keeps extensions away from it.');
  }
  const page = { url: tab.url, title: tab.title, incognito: tab.incognito, store: tab.cookieStoreId, links: uniqueLinks(links) };
  const key = `links-${crypto.randomUUID()}`;
  await chrome.storage.session.set({ [key]: page });
  await chrome.tabs.create({ url: chrome.runtime.getURL(`links.html#${key}`), openerTabId: tab.id });
}

/**
 * Hands URLs over and tells with one notification what has become of them. A single one that haul does not take is
 * downloaded by the browser.
 */
export async function download(urls, page, tab) {
  const wanted = unique(urls);
  if (wanted.length === 0) return badge.notify('There is no link in it', 'haul downloads http and https links.');
  try {
    await tell(await submit(wanted, page, tab));
  } catch (error) {
    await badge.warn(error);
    if (wanted.length > 1) return badge.notify('haul has not taken the links', error.message);
    await chrome.downloads.download({ url: wanted[0] });
    badge.notify('The browser downloads it', error.message);
  }
}

/** Hands URLs of a page over; answers one result for each. A refusal of a single one is thrown. */
export async function submit(urls, page, tab) {
  const { privateWindows } = await store.settings();
  if (tab?.incognito && !privateWindows) throw new Error('haul takes nothing from private windows, as the options say.');
  const jobs = await Promise.all(urls.map((url) => jobOf(url, page, tab)));
  const results = await daemon.submitAll(jobs, crypto.randomUUID());
  const taken = results.filter(({ job }) => job);
  const from = webUrl(page ?? '') ? page : null;
  const at = Date.now();
  await store.remember(taken.map(({ job }) => ({ id: job.id, url: job.url, name: nameOf(job), page: from, at })));
  await badge.refresh();
  return results;
}

async function jobOf(url, page, tab) {
  const from = webUrl(page ?? '');
  const job = { url, user_agent: navigator.userAgent };
  if (from) {
    job.page_url = from.href;
    job.referrer = referrer(from, webUrl(url));
  }
  const privateStore = tab?.incognito ? '1' : undefined;
  const own = await cookies.gather([url], from?.href, tab?.cookieStoreId ?? privateStore);
  if (own.length > 0) job.cookies = own;
  return job;
}

async function tell(results) {
  const taken = results.filter(({ job }) => job).map(({ job }) => nameOf(job));
  const refused = results.filter(({ problem }) => problem);
  if (refused.length === 0) return badge.handedOver(taken);
  const title = `haul has taken ${taken.length} of ${results.length} links`;
  return badge.notify(title, `Not taken: ${refused[0].problem.detail}`);
}

function nameOf(job) {
  return job.filename ?? webUrl(job.url)?.pathname.split('/').pop() ?? `Job ${job.id}`;
}

async function inPage(tab, func) {
  const frames = await chrome.scripting.executeScript({ target: { tabId: tab.id, allFrames: false }, func });
  return frames.flatMap(({ result }) => result ?? []);
}

/** Runs in the page: the links that the selection touches. */
function selectedLinks() {
  const selection = getSelection();
  return [...document.links].filter((link) => selection.containsNode(link, true)).map((link) => link.href);
}

/** Runs in the page: all links, and what is shown or played. */
function allLinks() {
  const links = [...document.links].map((link) => ({ url: link.href, text: link.textContent }));
  const media = [...document.querySelectorAll('img[src], video[src], audio[src], source[src]')];
  return links.concat(media.map((element) => ({ url: element.src, text: element.alt || element.title || '' })));
}
