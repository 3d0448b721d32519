// The map of a job's chunks: what is there, what is on its way, and what was in trouble.

const CELL = 11;
const GAP = 2;
const ROWS_MAX = 14;

// Colours of connections, told apart by hue; what a cell means is also in the table below the map.
const HUES = [210, 30, 140, 330, 265, 185, 55, 0, 95, 300];

// The connections: each has a run of adjoining chunks and is at its first one, with which its speed is told.
export function flightsOf(chunks) {
  const flights = [];
  for (const chunk of chunks) {
    if (chunk.state !== 'active') continue;
    const last = flights.at(-1);
    if (last && last.chunks.at(-1).end === chunk.start && chunk.speed === null) last.chunks.push(chunk);
    else flights.push({ speed: chunk.speed, chunks: [chunk] });
  }
  for (const flight of flights) {
    const { chunks: run } = flight;
    // A run is shortened at its start, so its end names it for as long as possible.
    flight.hue = HUES[run.at(-1).index % HUES.length];
    flight.at = run[0].start + run[0].done_bytes;
    flight.end = run.at(-1).end;
    flight.retries = Math.max(...run.map((chunk) => chunk.retries));
    flight.strikes = Math.max(...run.map((chunk) => chunk.strikes));
    flight.exempt = run.some((chunk) => chunk.exempt);
    flight.last_error = run.find((chunk) => chunk.last_error)?.last_error ?? null;
  }
  return flights;
}

// What the cells of a map show: each stands for the same number of bytes.
export function cellsOf(chunks, total, most) {
  const length = total ?? chunks.at(-1)?.end ?? 0;
  if (!length) return [];
  const number = Math.max(1, Math.min(most, Math.ceil(length / 65536)));
  const each = length / number;
  const cells = Array.from({ length: number }, () => ({ done: 0, flight: null, waits: false, strikes: 0, exempt: false }));
  const flights = new Map(flightsOf(chunks).flatMap((flight) => flight.chunks.map((chunk) => [chunk, flight])));
  for (const chunk of chunks) {
    const end = chunk.end ?? length;
    const from = Math.floor(chunk.start / each);
    const to = Math.min(number - 1, Math.floor((end - 1) / each));
    const there = chunk.start + chunk.done_bytes;
    for (let index = from; index <= to; index += 1) {
      const cell = cells[index];
      const [start, stop] = [Math.max(chunk.start, index * each), Math.min(end, (index + 1) * each)];
      cell.done += Math.max(0, Math.min(there, stop) - start) / each;
      cell.strikes = Math.max(cell.strikes, chunk.strikes);
      cell.exempt ||= chunk.exempt;
      cell.flight = flights.get(chunk) ?? cell.flight;
      cell.isAt ||= cell.flight?.chunks[0] === chunk && index === Math.min(to, Math.floor(there / each));
      cell.waits ||= chunk.state === 'backoff';
    }
  }
  return cells;
}

export function drawChunks(canvas, chunks, total) {
  const width = canvas.clientWidth;
  if (!width) return;
  const columns = Math.max(1, Math.floor((width + GAP) / (CELL + GAP)));
  const cells = cellsOf(chunks, total, columns * ROWS_MAX);
  const height = Math.max(1, Math.ceil(cells.length / columns)) * (CELL + GAP) - GAP;
  const scale = devicePixelRatio || 1;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const style = getComputedStyle(canvas);
  const color = (name) => style.getPropertyValue(name);
  const [accent, soft, warn, bad] = ['--accent', '--soft', '--warn', '--bad'].map(color);
  const light = matchMedia('(prefers-color-scheme: dark)').matches ? 68 : 46;
  const context = canvas.getContext('2d');
  context.setTransform(scale, 0, 0, scale, 0, 0);
  cells.forEach((cell, index) => {
    const [x, y] = [(index % columns) * (CELL + GAP), Math.floor(index / columns) * (CELL + GAP)];
    context.fillStyle = soft;
    context.fillRect(x, y, CELL, CELL);
    const own = cell.flight && `hsl(${cell.flight.hue} 65% ${light}%)`;
    if (own) {
      // Faint where its connection will come to.
      context.globalAlpha = 0.28;
      context.fillStyle = own;
      context.fillRect(x, y, CELL, CELL);
      context.globalAlpha = 1;
    }
    context.fillStyle = own ?? accent;
    context.fillRect(x, y, CELL * Math.min(1, cell.done), CELL);
    if (cell.isAt || cell.waits) {
      context.strokeStyle = cell.isAt ? own : bad;
      context.lineWidth = 1.5;
      context.strokeRect(x + 0.75, y + 0.75, CELL - 1.5, CELL - 1.5);
    }
    if (cell.exempt) {
      context.strokeStyle = warn;
      context.lineWidth = 2;
      context.strokeRect(x + 1, y + 1, CELL - 2, CELL - 2);
    } else if (cell.strikes > 0) {
      context.fillStyle = warn;
      context.fillRect(x + CELL - 4, y, 4, 4);
    }
  });
}

// The map as a sentence, for those who do not see it.
export function chunksInWords(chunks) {
  const number = (fits) => chunks.filter(fits).length;
  const parts = [
    [number((chunk) => chunk.state === 'done'), 'done'],
    [number((chunk) => chunk.state === 'active'), 'on their way'],
    [number((chunk) => chunk.state === 'ready'), 'to come'],
    [number((chunk) => chunk.state === 'backoff'), 'waiting after a fault'],
    [number((chunk) => chunk.strikes > 0), 'with strikes'],
    [number((chunk) => chunk.exempt), 'slow and left alone'],
  ];
  return parts.filter(([amount]) => amount > 0).map(([amount, word]) => `${amount} ${word}`).join(', ');
}
