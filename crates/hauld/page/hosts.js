// What is known of a server, and what may be used of it.

import { call, get, patch } from './api.js';
import { button, el } from './dom.js';
import { field, input, openDialog } from './dialog.js';
import { count, parseRate, speed, time, typedRate } from './format.js';
import { Problem } from './api.js';
import { failed, toast } from './toast.js';

const path = (name) => `/v1/hosts/${encodeURIComponent(name)}`;

// Opens the settings of a server: `scheme://host:port`.
export async function openHost(name) {
  let host;
  try {
    host = await get(path(name));
  } catch (error) {
    if (error.status !== 404) return failed(error);
    host = { host: name, connections: { active: 0 }, bandwidth_limit: 0 };
  }
  const connections = input('connections', {
    type: 'number', min: '1', max: '64', placeholder: 'as for all servers', 'data-first': true,
    value: host.connections.max ?? '',
  });
  const before = connections.value;
  const limit = input('bandwidth_limit', { placeholder: 'none', value: typedRate(host.bandwidth_limit) });
  const { close } = openDialog({
    title: host.host,
    content: [
      facts(host),
      field('Connections at most', connections, 'over all jobs; empty for what all servers are allowed'),
      field('Bandwidth limit', limit, 'such as 2MB, per second; empty for none'),
      el(
        'p',
        { class: 'line' },
        button('Try now', () => change(name, { blocked: false }, 'all jobs that wait for it try now', close)),
        button('Forget', () => forget(name, close), { title: 'Forget what was learned of it and set for it' }),
      ),
    ],
    submit: 'Save',
    onSubmit: async () => {
      const rate = parseRate(limit.value);
      if (rate === null) throw new Problem({ detail: 'a limit is a number with a unit, such as 2MB or 500KB', field: 'bandwidth_limit' });
      const wanted = { bandwidth_limit: rate };
      if (connections.value !== before) wanted.connections = connections.value ? Number(connections.value) : null;
      await patch(path(name), wanted);
    },
  });
}

function facts(host) {
  const known = [
    host.blocked_until && Date.parse(host.blocked_until) > Date.now() && `left alone until ${time(host.blocked_until)}`,
    host.last_fault && `last fault: ${host.last_fault.message} (${time(host.last_fault.at)})`,
    host.connections.learned_cap && `takes ${count(host.connections.learned_cap, 'connection')}, as its refusals suggest`,
    host.bytes_per_second && `gives about ${speed(host.bytes_per_second)} per connection`,
    `${count(host.connections.active ?? 0, 'connection')} in use`,
  ];
  return el('ul', { class: 'facts' }, known.filter(Boolean).map((text) => el('li', {}, text)));
}

async function change(name, wanted, message, close) {
  try {
    await patch(path(name), wanted);
    toast(message);
    close();
  } catch (error) {
    failed(error);
  }
}

async function forget(name, close) {
  try {
    await call('DELETE', path(name));
    toast(`forgot ${name}`);
    close();
  } catch (error) {
    failed(error);
  }
}
