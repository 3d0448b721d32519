// What can be done to jobs: one, or all that are selected.

import { forEach, get, jobPath, patch, post, call } from './api.js';
import { button, byId, el } from './dom.js';
import { input, openDialog } from './dialog.js';
import { count } from './format.js';
import { failed, toast } from './toast.js';

// The daemon keeps a deleted job for 10 s; the button goes a little earlier.
const UNDO_MS = 9500;
// Jobs of one answer.
const PAGE = 1000;

const RUNNING = ['queued', 'probing', 'active', 'waiting'];

export const canPause = (job) => RUNNING.includes(job.state);
export const canResume = (job) => job.state === 'paused';
// Nothing but the time of day makes it the time of its label.
export const canTryNow = (job) => job.state === 'waiting' && job.waiting_for !== 'schedule';
export const canRetry = (job) => job.state === 'failed';
export const canCancel = (job) => canPause(job) || job.state === 'paused' || job.state === 'failed';
export const canMove = (job) => RUNNING.includes(job.state) || job.state === 'paused';

export class Actions {
  constructor(jobs) {
    this.jobs = jobs;
  }

  // Carries an action out on these jobs, as far as it makes sense; a refusal is said once.
  async act(jobs, action, fits) {
    const some = jobs.filter(fits);
    const ended = await forEach(some, async (job) => this.jobs.put(await post(jobPath(job.id, `/${action}`))));
    const errors = ended.filter(({ error }) => error);
    if (errors.length === 1) failed(errors[0].error);
    else if (errors.length) failed(new Error(`${count(errors.length, 'job')} could not be changed: ${errors[0].error.message}`));
  }

  pause = (jobs) => this.act(jobs, 'pause', canPause);
  resume = (jobs) => this.act(jobs, 'resume', (job) => canResume(job) || canTryNow(job));
  retry = async (jobs) => {
    await this.act(jobs, 'retry', canRetry);
    await this.act(jobs, 'resume', canTryNow);
  };

  // Asks first: what is there of the file goes, and cannot be brought back.
  cancel = (jobs) => {
    const what = jobs.length === 1 ? jobs[0].shown.name : count(jobs.length, 'job');
    openDialog({
      title: 'Give it up?',
      content: el('p', {}, `What is there of ${what} is removed, and cannot be brought back.`),
      submit: 'Give up',
      onSubmit: () => this.act(jobs, 'cancel', canCancel),
    });
  };

  // Pauses what runs; where nothing does, lets it go on.
  toggle(jobs) {
    if (jobs.some(canPause)) return this.pause(jobs);
    if (jobs.some(canRetry)) return this.retry(jobs);
    return this.resume(jobs);
  }

  async patch(job, change) {
    this.jobs.put(await patch(jobPath(job.id), change));
  }

  async prioritize(jobs, by) {
    const within = (job) => Math.max(-100, Math.min(100, job.priority + by));
    const ended = await forEach(jobs, (job) => this.patch(job, { priority: within(job) }));
    const first = ended.find(({ error }) => error);
    if (first) failed(first.error);
    else if (jobs.length) toast(jobs.length === 1 ? `priority ${within(jobs[0])} for ${jobs[0].shown.name}` : `priority changed for ${count(jobs.length, 'job')}`);
  }

  // Puts jobs before or behind all others of their priority that wait for a slot, in the order in which they were submitted.
  async move(jobs, to) {
    const some = jobs.filter(canMove).sort((a, b) => (to === 'top' ? b.id - a.id : a.id - b.id));
    const ended = await forEach(some, (job) => this.patch(job, { position: to }), 1);
    const first = ended.find(({ error }) => error);
    if (first) failed(first.error);
    else if (some.length) toast(`${some.length === 1 ? some[0].shown.name : count(some.length, 'job')}: ${to === 'top' ? 'first' : 'last'} in the queue`);
  }

  // Deletes jobs; for some seconds that can be taken back.
  async remove(jobs, withFiles) {
    if (!jobs.length) return;
    jobs.forEach((job) => this.jobs.hide(job.id));
    const files = withFiles ? 'delete' : 'keep';
    const ended = await forEach(jobs, (job) => call('DELETE', `${jobPath(job.id)}?files=${files}`));
    const errors = ended.filter(({ error }) => error && error.status !== 404);
    for (const { item } of errors) this.jobs.unhide(item.id);
    if (errors.length) failed(errors[0].error);
    const deleted = ended.filter(({ error }) => !error).map(({ item }) => item);
    if (!deleted.length) return;
    const what = deleted.length === 1 ? deleted[0].shown.name : count(deleted.length, 'job');
    const undo = () => this.restore(deleted);
    toast(`deleted ${what}${withFiles ? ' with its file' : ''}`, { action: { text: 'Undo', run: undo }, forMs: UNDO_MS });
  }

  async restore(jobs) {
    const ended = await forEach(jobs, (job) => post(jobPath(job.id, '/restore')));
    for (const { item, error } of ended) if (!error) this.jobs.unhide(item.id);
    const late = ended.find(({ error }) => error);
    if (late) failed(late.error);
  }

  async copyUrls(jobs) {
    const text = jobs.map((job) => job.url).join('\n');
    try {
      await navigator.clipboard.writeText(text);
      toast(`copied ${count(jobs.length, 'link')}`);
    } catch {
      // Not where the page comes over plain HTTP from another machine.
      const area = el('textarea', { rows: '8', readonly: true, 'data-first': true, 'aria-label': 'Links' });
      area.value = text;
      openDialog({ title: 'Links', content: area });
      area.select();
    }
  }

  // Saves all that the daemon tells of these jobs as a file.
  async export(jobs) {
    const wanted = new Set(jobs.map(({ id }) => id));
    const whole = [];
    try {
      let cursor = null;
      do {
        const page = await get(`/v1/jobs?limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`);
        whole.push(...page.jobs.filter(({ id }) => wanted.has(id)));
        cursor = page.next_cursor;
      } while (cursor && whole.length < wanted.size);
    } catch (error) {
      return failed(error);
    }
    save('haul-jobs.json', `${JSON.stringify({ jobs: whole }, null, 2)}\n`, 'application/json');
    toast(`exported ${count(whole.length, 'job')}`);
  }

  // Asks for the new link of an expired one; the job goes on once it is proved to have the same file.
  renew(job) {
    const url = input('url', { type: 'url', required: true, placeholder: 'https://…', 'data-first': true, 'aria-label': 'New link' });
    openDialog({
      title: 'Renew the link',
      content: [
        el('p', {}, 'Where is this file now? Some bytes of it are compared with those that are here, and the download goes on from them.'),
        el('p', { class: 'muted clip' }, job.shown.name),
        url,
      ],
      submit: 'Renew',
      onSubmit: async () => {
        await this.patch(job, { url: url.value.trim() });
        toast(`the link is renewed: ${job.shown.name}`, { tone: 'good' });
      },
    });
  }

  // Asks whether a job shall do without its label, whose times of day it waits for.
  startAnyway(job) {
    openDialog({
      title: 'Start anyway?',
      content: el('p', {}, `It waits for the times of day that its label “${job.label}” has in the configuration. Without the label it starts now; the label's limits do not count for it then.`),
      submit: 'Start without the label',
      onSubmit: () => this.patch(job, { label: null }),
    });
  }

  // Asks for another name, where the one that is there is taken.
  rename(job) {
    const name = input('filename', { required: true, value: job.shown.name, 'data-first': true, 'aria-label': 'New name' });
    openDialog({
      title: 'Another name',
      content: [el('p', {}, job.reason?.message ?? 'The file is saved under this name.'), name],
      submit: 'Rename',
      onSubmit: async () => {
        await this.patch(job, { filename: name.value.trim() });
        if (canRetry(job)) await this.retry([this.jobs.all.get(job.id) ?? job]);
      },
    });
    name.select();
  }

  async verify(job, repair) {
    toast(repair ? 'repairing: what is damaged is fetched again' : 'comparing the file with what was received');
    try {
      const seen = await post(jobPath(job.id, '/verify?wait=60'), { repair });
      this.jobs.put(seen);
      if (repair || seen.state === 'verifying') return;
      const bad = seen.verified?.bad?.length ?? 0;
      if (bad) toast(`${seen.filename}: damaged in ${count(bad, 'place')}`, { tone: 'bad', forMs: 12000 });
      else toast(`${seen.filename}: intact`, { tone: 'good' });
    } catch (error) {
      failed(error);
    }
  }

  // Starts over a job whose file has changed on its server.
  async startOver(job) {
    await this.patch(job, { on_change: 'restart' });
    await this.retry([this.jobs.all.get(job.id) ?? job]);
  }

  // The whole of a job, beyond what the list knows.
  whole = (id, signal) => get(jobPath(id), { signal });
}

// Has the browser save a text as a file.
function save(name, text, type) {
  const href = URL.createObjectURL(new Blob([text], { type }));
  el('a', { href, download: name }).click();
  // Not at once: the browser reads it after the click.
  setTimeout(() => URL.revokeObjectURL(href), 60000);
}

// The bar below the list, for what is selected.
export class BulkBar {
  constructor(list, actions) {
    this.bar = byId('bulk');
    this.list = list;
    this.text = el('span', { class: 'chosen' });
    const on = (run) => () => run(list.chosen());
    this.bar.append(
      this.text,
      button('Pause', on(actions.pause)),
      button('Resume', on(actions.resume)),
      button('Retry', on(actions.retry)),
      button('Copy links', on((jobs) => actions.copyUrls(jobs))),
      button('Export', on((jobs) => actions.export(jobs)), { title: 'Save as JSON (e)' }),
      button('Delete', on((jobs) => this.#remove(actions, jobs, false))),
      button('Delete with files', on((jobs) => this.#remove(actions, jobs, true)), { class: 'danger' }),
      button('Clear', () => list.clear(), { class: 'plain' }),
    );
    list.addEventListener('selection', () => this.show());
  }

  #remove(actions, jobs, withFiles) {
    this.list.clear();
    return actions.remove(jobs, withFiles);
  }

  show() {
    const number = this.list.selected.size;
    this.bar.hidden = number === 0;
    this.text.textContent = `${number.toLocaleString()} selected`;
  }
}
