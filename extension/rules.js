// Which downloads go to haul. Pure: what is known of a download and what the user has set go in, a verdict comes out.

/** What the user may set, as it is at first. */
export const DEFAULTS = Object.freeze({
  enabled: true,
  address: 'http://127.0.0.1:4285',
  // A private window leaves no traces, and haul's list of jobs is one.
  privateWindows: false,
  // Smaller files are there before haul has begun.
  minBytes: 1_000_000,
  // 'haul' or 'browser': where a file goes of which the server has not told the size.
  unknownSize: 'haul',
  neverSites: [],
  alwaysSites: [],
  neverTypes: [],
  neverMimes: ['text/html', 'application/xhtml+xml'],
  // 'alt', 'shift', 'ctrl' or 'none': held while clicking it leaves the download to the browser.
  browserKey: 'alt',
  notify: true,
});

/** Why a download stays in the browser, for people. */
export const WHY = Object.freeze({
  off: 'haul is switched off',
  extension: 'another extension has started it',
  scheme: 'only http and https can be handed over',
  old: 'it began before haul was there',
  done: 'the browser had it before haul did',
  private: 'it comes from a private window',
  key: 'you held the key that leaves it to the browser',
  site: 'you have set this site to stay in the browser',
  local: 'its server is in your own network, which haul does not enter for a browser',
  mime: 'files of this kind stay in the browser',
  type: 'files with this ending stay in the browser',
  small: 'it is smaller than the least size',
  unknown: 'its size is not known',
});

/**
 * Decides about a download.
 *
 * @param download `{url, finalUrl, referrer, mime, name, bytes, isPrivate, isExtensions, isOld, isDone}`; `bytes` is null
 *   while unknown
 * @param settings as in DEFAULTS
 * @param hasKey whether the key was held that leaves a download to the browser
 * @returns `{take: true}`, or `{take: false, why}` with a key of WHY
 */
export function decide(download, settings, hasKey = false) {
  const verdict = wanted(download, settings, hasKey);
  return verdict.take && download.isDone ? stays('done') : verdict;
}

const stays = (why) => ({ take: false, why });

/** What the user wants, whether it can be had or not. */
function wanted(download, settings, hasKey) {
  if (!settings.enabled) return stays('off');
  if (download.isExtensions) return stays('extension');
  const urls = [download.url, download.finalUrl].filter(Boolean).map(webUrl);
  if (urls.length === 0 || urls.includes(null)) return stays('scheme');
  if (download.isOld) return stays('old');
  if (download.isPrivate && !settings.privateWindows) return stays('private');
  if (hasKey && settings.browserKey !== 'none') return stays('key');
  const hosts = urls.map((url) => url.hostname);
  const page = webUrl(download.referrer ?? '');
  const sites = page ? [...hosts, page.hostname] : hosts;
  const isListed = (list) => sites.some((host) => list.some((pattern) => matches(pattern, host)));
  if (isListed(settings.neverSites)) return stays('site');
  if (hosts.some(isLocal)) return stays('local');
  if (isListed(settings.alwaysSites)) return { take: true };
  const mime = (download.mime ?? '').split(';')[0].trim().toLowerCase();
  if (settings.neverMimes.some((pattern) => mimeMatches(pattern, mime))) return stays('mime');
  const type = ending(download.name || urls.at(-1).pathname);
  if (type && settings.neverTypes.includes(type)) return stays('type');
  if (download.bytes === null) return settings.unknownSize === 'haul' ? { take: true } : stays('unknown');
  if (download.bytes < settings.minBytes) return stays('small');
  return { take: true };
}

/** The URL, if it is one that haul can fetch. */
export function webUrl(text) {
  try {
    const url = new URL(text);
    return url.protocol === 'http:' || url.protocol === 'https:' ? url : null;
  } catch {
    return null;
  }
}

/** Whether a host is the named one, or below it. */
export function matches(pattern, host) {
  return host === pattern || host.endsWith(`.${pattern}`);
}

function mimeMatches(pattern, mime) {
  return pattern.endsWith('/*') ? mime.startsWith(pattern.slice(0, -1)) : mime === pattern;
}

/** Whether a host lies, by its name or address, where the daemon does not go for a browser: not in the public internet. */
export function isLocal(host) {
  const name = host.replace(/\.$/, '').toLowerCase();
  if (name.startsWith('[')) return isLocalV6(name.slice(1, -1));
  if (/^\d+\.\d+\.\d+\.\d+$/.test(name)) return isLocalV4(name.split('.').map(Number));
  return !name.includes('.') || LOCAL_NAMES.some((end) => name.endsWith(end));
}

const LOCAL_NAMES = ['.localhost', '.local', '.lan', '.internal', '.home.arpa'];

function isLocalV4([a, b]) {
  return (
    a === 0 || a === 10 || a === 127 || a >= 224 || (a === 100 && b >= 64 && b < 128) || (a === 169 && b === 254) ||
    (a === 172 && b >= 16 && b < 32) || (a === 192 && b === 168)
  );
}

function isLocalV6(address) {
  // All that is assigned for global use begins with 2 or 3; what stands for an IPv4 address is left to the daemon.
  return !/^[23]/.test(address) && !/^(64:ff9b:|::ffff:)/.test(address);
}

/** The last part of a name behind a dot, in lower case; empty where there is none. */
export function ending(name) {
  const last = name.split(/[/\\]/).pop();
  const dot = last.lastIndexOf('.');
  return dot > 0 ? last.slice(dot + 1).toLowerCase() : '';
}

/**
 * Reads what the user has typed into the options.
 *
 * @returns `{settings, errors}`; `errors` names each field that cannot be used and what helps
 */
export function readSettings(typed) {
  const settings = { ...DEFAULTS, ...typed };
  const errors = {};
  const address = readAddress(String(settings.address));
  if (address) settings.address = address;
  else errors.address = 'An address of this computer, such as 127.0.0.1:4285 or localhost:9000.';
  const bytes = Number(settings.minBytes);
  if (Number.isFinite(bytes) && bytes >= 0) settings.minBytes = Math.round(bytes);
  else errors.minBytes = 'A number of megabytes, 0 for all files.';
  for (const field of ['neverSites', 'alwaysSites']) {
    settings[field] = settings[field].map(readSite);
    const wrong = settings[field].indexOf(null);
    if (wrong >= 0) errors[field] = `“${typed[field][wrong]}” is not a site; write example.org.`;
  }
  settings.neverTypes = settings.neverTypes.map((type) => type.replace(/^\*?\./, '').toLowerCase());
  settings.neverMimes = settings.neverMimes.map((mime) => mime.toLowerCase());
  const wrong = settings.neverMimes.find((mime) => !/^[\w.+-]+\/([\w.+-]+|\*)$/.test(mime));
  if (wrong) errors.neverMimes = `“${wrong}” is not a kind; write video/mp4 or image/*.`;
  return { settings, errors };
}

/** The address of a daemon on this computer, as an origin. */
export function readAddress(text) {
  const url = webUrl(/^[a-z]+:\/\//i.test(text.trim()) ? text.trim() : `http://${text.trim()}`);
  const isHere = url && url.protocol === 'http:' && ['127.0.0.1', 'localhost'].includes(url.hostname);
  return isHere && !url.username && url.pathname === '/' && !url.search && !url.hash ? url.origin : null;
}

/** A site as it is compared: a host in lower case. */
export function readSite(text) {
  const plain = text.trim().replace(/^\*\./, '');
  const url = webUrl(/^https?:\/\//i.test(plain) ? plain : `http://${plain}`);
  return url && !/[\s@]/.test(plain) ? url.hostname : null;
}
