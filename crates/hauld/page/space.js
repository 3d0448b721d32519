// Room on a full disk: the finished files that haul has put there, and which of them may go.

import { get, jobPath } from './api.js';
import { button, el, setText } from './dom.js';
import { openDialog } from './dialog.js';
import { size } from './format.js';
import { failed } from './toast.js';

// Finished files that are looked at: the largest.
const LOOKED_AT_MAX = 200;
const FIELDS = 'id,path,total_bytes';

// The directory of the settings that a file lies in.
function directoryOf(path, directories) {
  const within = directories.filter(({ path: directory }) => path?.startsWith(`${directory}/`));
  return within.sort((a, b) => b.path.length - a.path.length)[0];
}

// Directories of one file system tell the same of it.
const isOneDisk = (a, b) => a && b && a.file_system === b.file_system && a.total_bytes === b.total_bytes && a.free_bytes === b.free_bytes;

// Asks which finished files on the disk of a waiting job are to be deleted. The job goes on by itself once there is room.
export async function freeSpace(job, actions) {
  let asked;
  try {
    asked = await Promise.all([
      get(jobPath(job.id)),
      get('/v1/doctor'),
      get(`/v1/jobs?state=completed&sort=total_bytes&limit=${LOOKED_AT_MAX}&fields=${FIELDS}`),
    ]);
  } catch (error) {
    return failed(error);
  }
  const [{ path, reason }, { directories }, { jobs }] = asked;
  const disk = directoryOf(path, directories);
  const there = jobs.filter((other) => isOneDisk(directoryOf(other.path, directories), disk) && actions.jobs.all.has(other.id));
  const boxes = there.map((other) => {
    const box = el('input', { type: 'checkbox', name: String(other.id) });
    const text = el('span', { class: 'clip', title: other.path }, other.path);
    return { other, box, element: el('li', {}, el('label', { class: 'line' }, box, text, el('span', { class: 'numbers' }, size(other.total_bytes)))) };
  });
  const chosen = () => boxes.filter(({ box }) => box.checked).map(({ other }) => other);
  const sum = el('p', { class: 'muted', role: 'status' });
  const { close, go } = openDialog({
    title: 'Free space',
    wide: true,
    content: [
      el('p', {}, `${reason?.message ?? 'The disk is full'}. The download goes on by itself as soon as there is room.`),
      there.length > 0 && el('p', {}, 'These finished downloads are on the same disk, the largest first. Which may be deleted?'),
      there.length === 0 && el('p', {}, 'No finished download is on this disk: what takes the room there has to be removed by other means.'),
      el('ul', { class: 'files' }, boxes.map(({ element }) => element)),
      sum,
      el('p', { class: 'line' }, button('Try now', () => { close(); actions.resume([job]); })),
    ],
    submit: 'Delete with files',
    onSubmit: there.length > 0 ? () => void actions.remove(chosen().map(({ id }) => actions.jobs.all.get(id)).filter(Boolean), true) : null,
  });
  const show = () => {
    const some = chosen();
    go.disabled = some.length === 0;
    setText(sum, some.length ? `frees ${size(some.reduce((bytes, { total_bytes: own }) => bytes + (own ?? 0), 0))}, ten seconds from then on: until then it can be undone` : '');
  };
  for (const { box } of boxes) box.addEventListener('change', show);
  if (go) show();
  boxes[0]?.box.focus();
}
