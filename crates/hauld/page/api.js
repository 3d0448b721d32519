// Calls to the daemon that has served this page, with the token of this browser.

const KEY = 'haul.token';

// Tells when the token is not accepted any more: event `ended`.
export const session = new EventTarget();

let token = read();

function read() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

export const hasToken = () => Boolean(token);

export function setToken(value) {
  token = value;
  try {
    if (value) localStorage.setItem(KEY, value);
    else localStorage.removeItem(KEY);
  } catch {
    // Without a storage the token lasts as long as the page.
  }
}

// A refusal: `code` for programs, `detail` for people, `field` where one is to blame.
export class Problem extends Error {
  constructor({ status = 0, code = 'unreachable', detail, field = null, title = '' }) {
    super(detail || title || 'the daemon gave no reason');
    Object.assign(this, { status, code, field });
  }
}

const unreachable = () => new Problem({ detail: 'the daemon does not answer' });

async function send(method, path, { body, type, headers = {}, signal } = {}) {
  const all = { Accept: 'application/json', ...headers };
  if (token) all.Authorization = `Bearer ${token}`;
  if (body !== undefined) all['Content-Type'] = type ?? 'application/json';
  const text = body === undefined || type ? body : JSON.stringify(body);
  const asked = { method, headers: all, body: text, signal, cache: 'no-store', credentials: 'omit', redirect: 'error' };
  const used = token;
  let answer;
  try {
    answer = await fetch(path, asked);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw unreachable();
  }
  // Not when another one has come meanwhile.
  if (answer.status === 401 && used === token) session.dispatchEvent(new Event('ended'));
  return answer;
}

async function refusal(answer) {
  try {
    return new Problem(await answer.json());
  } catch {
    return new Problem({ status: answer.status, detail: `the daemon answered ${answer.status}` });
  }
}

// Makes a request; the answer's JSON, or `null` where it has none.
export async function call(method, path, options) {
  const answer = await send(method, path, options);
  if (!answer.ok) throw await refusal(answer);
  if (answer.status === 204) return null;
  try {
    return await answer.json();
  } catch {
    throw unreachable();
  }
}

export const get = (path, options) => call('GET', path, options);
export const post = (path, body, options) => call('POST', path, { body, ...options });
export const patch = (path, body) => call('PATCH', path, { body });

export const jobPath = (id, rest = '') => `/v1/jobs/${id}${rest}`;

// Begins a request whose answer does not end.
export async function begin(path, headers, signal) {
  const answer = await send('GET', path, { headers: { ...headers, Accept: 'text/event-stream' }, signal });
  if (!answer.ok) throw await refusal(answer);
  return answer.body;
}

// Trades a one-time code for a token of this page.
export async function pair(code) {
  const made = await post('/v1/pair', { code, name: 'web page' });
  setToken(made.token);
}

// Calls `task` for each item, a few at a time; what each brought: `{ item, error }`.
export async function forEach(items, task, atOnce = 6) {
  const left = [...items];
  const ended = [];
  const work = async () => {
    while (left.length) {
      const item = left.shift();
      try {
        await task(item);
        ended.push({ item, error: null });
      } catch (error) {
        ended.push({ item, error });
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return ended;
}
