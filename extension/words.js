// Numbers and states in words. Pure.

/** Bytes as people read them. */
export function bytes(count) {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** Seconds as people read them. */
export function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** Whether a job is still to be carried out. */
export function isUnfinished(job) {
  return !['completed', 'failed', 'canceled'].includes(job.state);
}

/** How far a job is, from 0 to 1; null while that cannot be known. */
export function fraction(job) {
  if (job.state === 'completed') return 1;
  return job.total_bytes ? Math.min(1, job.done_bytes / job.total_bytes) : null;
}

const WAITS = {
  retry: 'tries again soon',
  disk: 'waits for space on the disk',
  network: 'waits for a network',
  host: 'waits because its server asked for that',
  schedule: 'waits for its time of the day',
  link: 'needs a new link: this one has expired',
  volume: 'waits for its disk to be connected',
};

/** Where a job stands, in words. */
export function state(job) {
  const total = job.total_bytes === null ? '' : ` of ${bytes(job.total_bytes)}`;
  const done = `${bytes(job.done_bytes)}${total}`;
  switch (job.state) {
    case 'queued':
      return 'waits for its turn';
    case 'probing':
      return 'asks the server';
    case 'active': {
      const left = job.eta_seconds === null ? '' : ` · ${duration(job.eta_seconds)} left`;
      return `${done} · ${bytes(job.speed)}/s${left}`;
    }
    case 'waiting':
      return `${done} · ${WAITS[job.waiting_for] ?? 'waits'}`;
    case 'paused':
      return `${done} · paused`;
    case 'verifying':
      return 'is being checked';
    case 'completed':
      return `${bytes(job.done_bytes)} · complete`;
    case 'failed':
      return `failed: ${job.reason?.message ?? 'no reason is known'}`;
    default:
      return 'given up';
  }
}

/** What this browser is called in haul's list of tokens. */
export function browserName(agent = navigator.userAgent) {
  const browser = ['Firefox', 'Edg', 'OPR', 'Chrome'].find((name) => agent.includes(`${name}/`)) ?? 'Browser';
  const system = ['Windows', 'Macintosh', 'Linux'].find((name) => agent.includes(name)) ?? '';
  const names = { Edg: 'Edge', OPR: 'Opera', Chrome: 'Chromium', Macintosh: 'Mac' };
  return [names[browser] ?? browser, names[system] ?? system].filter(Boolean).join(' on ');
}
