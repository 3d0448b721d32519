// The limits of everything, and the turtle: a second, low limit that one key turns on and off.

import { Problem, get, patch } from './api.js';
import { byId, el, setText } from './dom.js';
import { field, input, openDialog } from './dialog.js';
import { limit as inWords, parseRate, typedRate } from './format.js';
import { failed, toast } from './toast.js';
import { icon } from './icons.js';
import { Schedule } from './schedule.js';

const KEY = 'haul.turtle';
// A guess: leaves most of a usual line to others.
const SLOW = 500000;

// What this browser remembers: the turtle's limit, and while it is on what it has replaced.
function remembered() {
  try {
    return { slow: SLOW, former: null, ...JSON.parse(localStorage.getItem(KEY) ?? '{}') };
  } catch {
    return { slow: SLOW, former: null };
  }
}

function remember(change) {
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...remembered(), ...change }));
  } catch {
    // Then the turtle is forgotten with the page.
  }
}

export class Limits {
  settings = null;

  constructor() {
    byId('turtle').append(icon('turtle'));
    byId('limit').addEventListener('click', () => this.open());
    byId('turtle').addEventListener('click', () => this.turtle());
  }

  async load() {
    this.#show(await get('/v1/settings'));
  }

  #show(settings) {
    this.settings = settings;
    const { former, slow } = remembered();
    // Who has changed the limit since, here or elsewhere, has turned the turtle off.
    if (former && settings.bandwidth_limit !== slow) remember({ former: null });
    this.isSlow = Boolean(remembered().former);
    byId('turtle').setAttribute('aria-pressed', String(this.isSlow));
    const now = settings.bandwidth_limit_now;
    setText(byId('limit'), now ? `of ${inWords(now)}` : 'no limit');
  }

  // Goes slowly, or as before.
  async turtle() {
    try {
      await this.load();
      const { slow, former } = remembered();
      if (this.isSlow) {
        remember({ former: null });
        this.#show(await patch('/v1/settings', former));
        toast(`as before: ${inWords(this.settings.bandwidth_limit_now)}`);
        return;
      }
      const { bandwidth_limit, bandwidth_schedule } = this.settings;
      // A window of the day would replace the limit.
      const settings = await patch('/v1/settings', { bandwidth_limit: slow, bandwidth_schedule: [] });
      remember({ former: { bandwidth_limit, bandwidth_schedule } });
      this.#show(settings);
      toast(`going slowly: ${inWords(slow)}`);
    } catch (error) {
      failed(error);
    }
  }

  async open() {
    try {
      await this.load();
    } catch (error) {
      return failed(error);
    }
    const now = this.settings;
    const rate = (name, value, props) => input(name, { placeholder: 'none', value: typedRate(value), ...props });
    const whole = (name, most) => input(name, { type: 'number', min: '1', max: String(most), required: true, value: now[name] });
    const fields = {
      bandwidth_limit: rate('bandwidth_limit', now.bandwidth_limit, { 'data-first': true }),
      slow: rate('slow', remembered().slow),
      max_active_jobs: whole('max_active_jobs', 10000),
      connections_per_job: whole('connections_per_job', 64),
      connections_per_host: whole('connections_per_host', 100000),
      connections_total: whole('connections_total', 100000),
    };
    const schedule = new Schedule(now.bandwidth_schedule);
    openDialog({
      title: 'Limits',
      content: [
        field('Bandwidth limit', fields.bandwidth_limit, 'such as 2MB, per second; empty for none'),
        field('Limit of the turtle', fields.slow, 'what the turtle (t) sets'),
        // The turtle has taken them away, and brings them back.
        this.isSlow ? el('p', { class: 'hint' }, 'Times of day can be changed once the turtle is off.') : schedule.element,
        field('Jobs at a time', fields.max_active_jobs),
        el(
          'div',
          { class: 'columns' },
          field('Connections per job', fields.connections_per_job),
          field('per server', fields.connections_per_host),
          field('in all', fields.connections_total),
        ),
      ],
      submit: 'Save',
      onSubmit: async () => {
        const wanted = {};
        const read = (name) => {
          const value = parseRate(fields[name].value);
          if (value === null) throw new Problem({ detail: 'a limit is a number with a unit, such as 2MB or 500KB', field: name });
          return value;
        };
        const slow = read('slow');
        if (!slow) throw new Problem({ detail: 'the turtle needs a limit, such as 500KB', field: 'slow' });
        const limit = read('bandwidth_limit');
        if (fields.bandwidth_limit.value !== typedRate(now.bandwidth_limit)) wanted.bandwidth_limit = limit;
        const windows = this.isSlow ? undefined : schedule.read();
        if (windows) wanted.bandwidth_schedule = windows;
        for (const name of ['max_active_jobs', 'connections_per_job', 'connections_per_host', 'connections_total']) {
          const value = Number(fields[name].value);
          if (value !== now[name]) wanted[name] = value;
        }
        if (fields.slow.value !== typedRate(remembered().slow)) remember({ slow, former: null });
        this.#show(await patch('/v1/settings', wanted));
      },
    });
  }
}
