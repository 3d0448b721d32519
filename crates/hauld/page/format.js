// Numbers and times as people read them. Sizes are decimal, as everywhere in haul.

const UNITS = ['B', 'KB', 'MB', 'GB', 'TB', 'PB'];

// `4.70 GB`: three digits, so that columns do not jump.
export function size(bytes) {
  if (bytes === null || bytes === undefined) return '';
  let [value, unit] = [bytes, 0];
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 ? 0 : value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

export const speed = (bytesPerSecond) => `${size(bytesPerSecond)}/s`;

// A limit: 0 is none.
export const limit = (bytesPerSecond) => (bytesPerSecond ? speed(bytesPerSecond) : 'no limit');

// `4 min 05 s`
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const two = (number) => String(number).padStart(2, '0');
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  const days = Math.floor(whole / 86400);
  return days > 99 ? 'more than 99 d' : `${days} d ${Math.floor((whole % 86400) / 3600)} h`;
}

// Never 100 before it is.
export function percent(done, total) {
  if (!total) return total === 0 ? 100 : null;
  return done >= total ? 100 : Math.min(99.9, Math.floor((done / total) * 1000) / 10);
}

export function time(text) {
  const at = new Date(text);
  const sameDay = at.toDateString() === new Date().toDateString();
  const clock = at.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit' });
  return sameDay ? clock : `${at.toLocaleDateString()} ${clock}`;
}

export const count = (number, word) => `${number.toLocaleString()} ${word}${number === 1 ? '' : 's'}`;

// Reads `2MB`, `500 KB/s`, `off`: bytes per second, 0 for no limit, `null` for no such thing.
export function parseRate(text) {
  const trimmed = text.trim().toLowerCase();
  if (['', 'off', 'none', 'no limit', '0'].includes(trimmed)) return 0;
  const parts = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?(?:\/s)?$/.exec(trimmed);
  if (!parts) return null;
  const base = parts[3] ? 1024 : 1000;
  return Math.round(Number(parts[1]) * base ** ['', 'k', 'm', 'g', 't'].indexOf(parts[2]));
}

// A limit as it is typed.
export function typedRate(bytesPerSecond) {
  return bytesPerSecond ? size(bytesPerSecond).replace(' ', '') : '';
}
