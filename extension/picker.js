// The page on which the user chooses among all links of a page.

import * as menus from './menus.js';
import { filtered } from './links.js';

const $ = (id) => document.getElementById(id);

const key = location.hash.slice(1);
const { [key]: page } = await chrome.storage.session.get(key);
const links = page?.links ?? [];
const chosen = new Set();

/** The links that the filter leaves. */
function shown() {
  return filtered(links, $('filter').value, $('type').value);
}

function show() {
  $('list').replaceChildren(...shown().map(row));
  count();
}

function row(link) {
  const item = document.createElement('li');
  const label = document.createElement('label');
  const box = document.createElement('input');
  box.type = 'checkbox';
  box.checked = chosen.has(link.url);
  box.addEventListener('change', () => {
    if (box.checked) chosen.add(link.url);
    else chosen.delete(link.url);
    count();
  });
  const text = document.createElement('span');
  text.className = 'grow';
  const name = document.createElement('div');
  name.className = 'cut';
  name.textContent = link.text || new URL(link.url).pathname.split('/').pop() || link.url;
  const url = document.createElement('div');
  url.className = 'cut quiet small';
  url.textContent = link.url;
  text.append(name, url);
  label.append(box, text);
  item.append(label);
  return item;
}

function count() {
  const visible = shown();
  const taken = visible.filter(({ url }) => chosen.has(url)).length;
  $('count').textContent = `${visible.length} of ${links.length} links, ${taken} chosen`;
  $('all').checked = visible.length > 0 && taken === visible.length;
  $('all').indeterminate = taken > 0 && taken < visible.length;
  $('download').textContent = taken === 1 ? 'Download 1 file' : `Download ${taken} files`;
  $('download').disabled = taken === 0;
}

async function download() {
  const urls = shown().map(({ url }) => url).filter((url) => chosen.has(url));
  $('download').disabled = true;
  try {
    const results = await menus.submit(urls, page.url, { incognito: page.incognito, cookieStoreId: page.store });
    const refused = results.filter(({ problem }) => problem);
    const taken = results.length - refused.length;
    results.forEach(({ job }, index) => job && chosen.delete(urls[index]));
    show();
    tell(`haul has taken ${taken} of ${results.length}.` + (refused[0] ? ` Not taken: ${refused[0].problem.detail}` : ''));
  } catch (error) {
    tell(error.message, true);
    count();
  }
}

function tell(text, isBad = false) {
  $('told').hidden = false;
  $('told').textContent = text;
  $('told').classList.toggle('bad', isBad);
}

$('form').addEventListener('submit', (event) => {
  event.preventDefault();
  download();
});
$('filter').addEventListener('input', show);
$('type').addEventListener('change', show);
$('all').addEventListener('change', () => {
  for (const { url } of shown()) {
    if ($('all').checked) chosen.add(url);
    else chosen.delete(url);
  }
  show();
});

$('page').textContent = page ? page.title || page.url : 'This list is gone; open it from its page once more.';
const types = [...new Set(links.map(({ type }) => type))].filter(Boolean).sort();
const option = (value, text) => Object.assign(document.createElement('option'), { value, textContent: text });
$('type').append(option('', 'All endings'), ...types.map((type) => option(type, `.${type}`)));
show();
