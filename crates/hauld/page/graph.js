// A line of speed over time, with the limit that holds.

import { speed } from './format.js';

// Draws samples, one a second and the newest at the right, onto a canvas with room for `places` of them.
export function drawGraph(canvas, samples, places, limit = 0) {
  const scale = devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const style = getComputedStyle(canvas);
  const accent = style.getPropertyValue('--accent');
  const context = canvas.getContext('2d');
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  const shown = samples.slice(-places);
  // Room above the line, so that a steady speed does not look like a wall.
  const most = Math.max(1, ...shown) * 1.15;
  const x = (index) => width - ((shown.length - 1 - index) / (places - 1)) * width;
  const y = (value) => height - 1 - (value / most) * (height - 4);

  if (shown.some((value) => value > 0)) {
    context.beginPath();
    shown.forEach((value, index) => context.lineTo(x(index), y(value)));
    context.strokeStyle = accent;
    context.lineWidth = 1.5;
    context.lineJoin = 'round';
    context.stroke();
    context.lineTo(x(shown.length - 1), height);
    context.lineTo(x(0), height);
    context.closePath();
    context.globalAlpha = 0.12;
    context.fillStyle = accent;
    context.fill();
    context.globalAlpha = 1;
  }
  if (limit && limit < most) {
    context.beginPath();
    context.setLineDash([4, 4]);
    context.moveTo(0, y(limit));
    context.lineTo(width, y(limit));
    context.strokeStyle = style.getPropertyValue('--warn');
    context.lineWidth = 1;
    context.stroke();
    context.setLineDash([]);
  }
  const peak = Math.max(0, ...shown);
  if (peak > 0) {
    context.fillStyle = style.getPropertyValue('--muted');
    context.font = `11px ${style.fontFamily}`;
    context.textAlign = 'right';
    context.textBaseline = 'top';
    context.fillText(`peak ${speed(peak)}`, width - 8, 4);
  }
}
