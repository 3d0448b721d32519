// Small drawings for buttons, 16 by 16.

const PATHS = {
  pause: 'M5.5 3.5v9M10.5 3.5v9',
  play: 'M5 3.200v9.600L12.5 8z',
  retry: 'M13 8a5 5 0 1 1-1.600-3.700M13 2.5v3h-3',
  trash: 'M3 4.5h10M6.5 4.5v-2h3v2M4.5 4.5l.6 9h5.800l.6-9',
  close: 'M4 4l8 8M12 4l-8 8',
  turtle: 'M2.5 10.5a4.5 4.5 0 0 1 9 0zM11.5 9.5c0-2 2.5-2.5 2.5-.6 0 1-.8 1.600-2.5 1.600M4.300 10.5v2M9.700 10.5v2',
  bell: 'M4 11.5h8c-1-1-1.200-2-1.200-4a2.800 2.800 0 0 0-5.600 0c0 2-.2 3-1.200 4zM7 13.700a1.200 1.200 0 0 0 2 0',
  help: 'M5.5 6a2.5 2.5 0 1 1 3.600 2.200c-.8.4-1.100.8-1.100 1.600M8 12.600v.2',
};

const SVG = 'http://www.w3.org/2000/svg';

export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 16 16');
  svg.setAttribute('aria-hidden', 'true');
  svg.append(document.createElementNS(SVG, 'path'));
  setIcon(svg, name);
  return svg;
}

export function setIcon(svg, name) {
  if (svg.dataset.name === name) return;
  svg.dataset.name = name;
  svg.firstChild.setAttribute('d', PATHS[name]);
}
