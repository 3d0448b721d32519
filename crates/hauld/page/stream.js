// What happens, as it happens: server-sent events through `fetch`, because an `EventSource` cannot send a token.

import { begin } from './api.js';

// The daemon says something every 15 seconds; after this the connection is taken for dead.
const SILENCE_MS = 40000;
const PAUSE_MS = [250, 500, 1000, 2000, 5000];

// Reads a stream of text into events: `{ id, event, data }`.
export class Parser {
  #rest = '';
  #event = {};

  push(text) {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop();
    const events = [];
    for (const raw of lines) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      if (line === '') {
        if (Object.keys(this.#event).length) events.push(this.#event);
        this.#event = {};
        continue;
      }
      const colon = line.indexOf(':');
      if (colon === 0) continue;
      const [name, value] = colon < 0 ? [line, ''] : [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, '')];
      if (name === 'data') this.#event.data = this.#event.data === undefined ? value : `${this.#event.data}\n${value}`;
      else if (name === 'id' || name === 'event') this.#event[name] = value;
    }
    return events;
  }
}

// Follows `/v1/events` for ever, from where it was. `onState` hears `open` (with whether it is the first time) and `lost`.
export class Stream {
  #lastId = null;
  #stopped = false;
  #wake = () => {};

  constructor({ onEvent, onState }) {
    this.onEvent = onEvent;
    this.onState = onState;
    addEventListener('online', () => this.#wake());
    document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && this.#wake());
  }

  async run() {
    let failures = 0;
    let isFirst = true;
    while (!this.#stopped) {
      try {
        await this.#follow(() => {
          this.onState('open', isFirst);
          [failures, isFirst] = [0, false];
        });
      } catch (error) {
        if (error.status === 401) return;
      }
      if (this.#stopped) return;
      this.onState('lost');
      await this.#pause(PAUSE_MS[Math.min(failures, PAUSE_MS.length - 1)]);
      failures += 1;
    }
  }

  stop() {
    this.#stopped = true;
    this.#abort?.abort();
  }

  #abort = null;

  async #follow(opened) {
    this.#abort = new AbortController();
    const headers = this.#lastId === null ? {} : { 'Last-Event-ID': this.#lastId };
    let timer = setTimeout(() => this.#abort.abort(), SILENCE_MS);
    const body = await begin('/v1/events', headers, this.#abort.signal);
    opened();
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new Parser();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(timer);
        timer = setTimeout(() => this.#abort.abort(), SILENCE_MS);
        for (const { id, event, data } of parser.push(value)) {
          if (event && data) this.onEvent(event, JSON.parse(data));
          // Noted when it has been dealt with: what is told twice harms nobody.
          if (id !== undefined) this.#lastId = id;
        }
      }
    } finally {
      clearTimeout(timer);
      this.#abort.abort();
    }
  }

  #pause(ms) {
    return new Promise((done) => {
      const timer = setTimeout(done, ms);
      this.#wake = () => {
        clearTimeout(timer);
        done();
      };
    });
  }
}
