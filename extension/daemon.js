// The daemon on this computer: its API as this extension uses it.
//
// Before anything is sent to it, the daemon has to prove that it knows the token that it once gave (or, to be paired, the
// code that it has printed). Another program that has taken its port gets a random number and nothing else.

import * as store from './store.js';

/** How long a handed over download may take to be accepted. The browser's own copy waits meanwhile. */
const SUBMIT_MS = 2000;

/** How long anything else may take. */
const ANSWER_MS = 5000;

/** Where a daemon can be. To talk to it there is the browser's to permit, and the user's to take back. */
export const ACCESS = { origins: ['http://127.0.0.1/*', 'http://localhost/*'] };

/** How long a proof is believed: long enough for the requests of one step. */
const PROOF_MS = 2000;

/** What has gone wrong, with a text for people. */
export class Trouble extends Error {
  /**
   * @param kind 'unpaired', 'forbidden', 'unreachable', 'late', 'impostor', 'revoked' or 'refused'
   * @param problem the problem document of a refusal
   */
  constructor(kind, text, problem = {}) {
    super(text);
    this.kind = kind;
    this.code = problem.code ?? null;
    this.status = problem.status ?? null;
  }
}

/**
 * Submits one job. Sending the same with the same key again is one job nevertheless.
 *
 * @returns `{job, isNew}`: what was wanted may be a job that is there already
 */
export async function submit(wanted, key, ms = SUBMIT_MS) {
  const { status, answer } = await ask('POST', '/v1/jobs', { body: wanted, key, ms });
  return { job: answer, isNew: status === 201 };
}

/** Submits several; answers `[{status, job}, {status, problem}]` in their order. */
export async function submitAll(jobs, key) {
  if (jobs.length === 1) return [{ status: 201, ...(await submit(jobs[0], key, ANSWER_MS)) }];
  return (await call('POST', '/v1/jobs', { body: { jobs }, key, ms: 4 * ANSWER_MS })).results;
}

/** The jobs of this pairing, the newest first. */
export async function jobs(limit = 50) {
  return (await call('GET', `/v1/jobs?limit=${limit}`)).jobs;
}

/** One job; waits up to so many seconds for its state to become another one than this. */
export function job(id, state, seconds = 0) {
  const query = state ? `?wait=${seconds}&state=${state}` : '';
  return call('GET', `/v1/jobs/${id}${query}`, { ms: ANSWER_MS + seconds * 1000 });
}

/** Pauses, resumes or cancels a job. */
export function act(id, action) {
  return call('POST', `/v1/jobs/${id}/${action}`);
}

/** Gives a job a new URL of the same file. */
export function renew(id, change, ms) {
  return call('PATCH', `/v1/jobs/${id}`, { body: change, ms });
}

/** Trades a code for a token, and keeps it. */
export async function pair(code, name) {
  const { address } = await store.settings();
  const plain = plainCode(code);
  await demandProof(address, plain, null);
  const { answer: made } = await send(address, 'POST', '/v1/pair', { body: { code: plain, name } });
  const pairing = { id: made.id, name: made.name, token: made.token };
  await store.setPairing(pairing);
  return pairing;
}

/** Finds out whether the daemon answers and knows this browser; throws what is wrong. */
export async function check() {
  const { address } = await store.settings();
  if (await store.pairing()) await jobs(1);
  else await send(address, 'GET', '/readyz');
}

/** Whether the browser lets this extension talk to the daemon. */
export function mayTalk() {
  return chrome.permissions.contains(ACCESS);
}

/** A code as it was made, however it was typed. */
export function plainCode(code) {
  return code.toUpperCase().replace(/[\s-]/g, '').replace(/O/g, '0').replace(/[IL]/g, '1');
}

/** What the daemon has to answer to this nonce to prove that it knows this secret, as hexadecimal digits. */
export async function proofOf(secret, nonce) {
  const bytes = (text) => new TextEncoder().encode(text);
  const digest = await crypto.subtle.digest('SHA-256', bytes(secret));
  const key = await crypto.subtle.importKey('raw', digest, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  return hex(await crypto.subtle.sign('HMAC', key, bytes(`haul-proof-v1:${nonce}`)));
}

function hex(buffer) {
  return Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

async function call(method, path, options) {
  return (await ask(method, path, options)).answer;
}

/** Makes a request with the token, to a daemon that has proved itself. */
async function ask(method, path, options = {}) {
  const [{ address }, pairing] = await Promise.all([store.settings(), store.pairing()]);
  if (!pairing) throw new Trouble('unpaired', 'This browser is not paired with haul yet.');
  await demandProof(address, pairing.token, pairing.id);
  try {
    return await send(address, method, path, { ...options, token: pairing.token });
  } catch (error) {
    if (error.status === 401) throw revoked();
    throw error;
  }
}

let proved = { address: null, secret: null, until: 0 };

/** Throws unless whatever answers there knows the secret. */
async function demandProof(address, secret, token) {
  if (proved.address === address && proved.secret === secret && Date.now() < proved.until) return;
  const nonce = hex(crypto.getRandomValues(new Uint8Array(32)));
  const body = token === null ? { nonce } : { nonce, token };
  const { answer } = await send(address, 'POST', '/v1/prove', { body, ms: SUBMIT_MS }).catch((error) => {
    if (error.code === 'token-not-found') throw revoked();
    if (error.kind === 'refused' && !error.code) throw impostor(address);
    throw error;
  });
  if (answer.proof !== (await proofOf(secret, nonce))) throw impostor(address, token === null);
  proved = { address, secret, until: Date.now() + PROOF_MS };
}

async function send(address, method, path, { body, key, token, ms = ANSWER_MS } = {}) {
  const headers = {};
  if (body) headers['Content-Type'] = 'application/json';
  if (token) headers.Authorization = `Bearer ${token}`;
  if (key) headers['Idempotency-Key'] = key;
  const host = new URL(address).host;
  let response, answer;
  try {
    response = await fetch(address + path, {
      method,
      headers,
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(ms),
      cache: 'no-store',
      credentials: 'omit',
      redirect: 'error',
      referrerPolicy: 'no-referrer',
    });
    answer = await response.json().catch((error) => {
      if (error.name === 'SyntaxError') return null;
      throw error;
    });
  } catch (error) {
    if (error.name === 'TimeoutError') throw new Trouble('late', `haul does not answer in time at ${host}.`);
    if (!(await mayTalk())) throw new Trouble('forbidden', 'The browser does not let this extension talk to haul; allow it in the options.');
    throw new Trouble('unreachable', `haul does not answer at ${host}. Is it running?`);
  }
  if (response.ok && answer) return { status: response.status, answer };
  const detail = answer?.detail ?? `the answer was ${response.status}`;
  throw new Trouble('refused', `haul has refused it: ${detail}`, answer ?? {});
}

function revoked() {
  return new Trouble('revoked', 'haul does not know this pairing any more. Run “haul pair” and enter the code.');
}

function impostor(address, byCode = false) {
  const host = new URL(address).host;
  const what = byCode
    ? `The code is not the one that haul at ${host} has made last; or what answers there is not haul.`
    : `What answers at ${host} is not the haul that this browser is paired with.`;
  return new Trouble('impostor', `${what} Nothing was sent to it.`);
}
