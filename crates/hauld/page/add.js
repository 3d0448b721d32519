// Adding: the field at the top, links that are pasted or dropped anywhere, and the dialog with all options.

import { Problem, forEach, post } from './api.js';
import { button, byId, el, isTyping } from './dom.js';
import { checkbox, field, input, isDialogOpen, openDialog } from './dialog.js';
import { count, parseRate, size } from './format.js';
import { failed, toast } from './toast.js';

// In one request: below the 16 MiB that the daemon takes.
const BATCH = 2000;
// Links that are looked at before they are added.
const LOOK_MAX = 20;
// Results that are listed.
const SHOWN_MAX = 200;

const LINK = /https?:\/\/[^\s<>"'`|\\^{}]+/gi;

// The links in a text, each once, without the marks that end a sentence.
export function linksIn(text) {
  const links = [...text.matchAll(LINK)].map(([link]) => link.replace(/[.,;:!?)\]]+$/, (end) => (link.includes('(') && end.startsWith(')') ? ')' : '')));
  return [...new Set(links)];
}

const isCurl = (text) => /^\s*curl\s/.test(text);

export class Add {
  constructor(jobs) {
    this.jobs = jobs;
    this.form = byId('add');
    this.text = byId('add-urls');
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#sent(false);
    });
    this.text.addEventListener('keydown', (event) => {
      if (event.key === 'Enter') {
        event.preventDefault();
        this.#sent(event.shiftKey);
      }
      if (event.key === 'Escape') this.text.blur();
    });
    byId('add-options').addEventListener('click', () => {
      this.open(linksIn(this.text.value));
      this.text.value = '';
    });
    // Several links, or a command, would be one broken line in the field.
    this.text.addEventListener('paste', (event) => this.#pasted(event, true));
    document.addEventListener('paste', (event) => {
      if (!isTyping(event.target) && !isDialogOpen()) this.#pasted(event, false);
    });
    this.#dropping();
  }

  focus() {
    this.text.focus();
    this.text.select();
  }

  #pasted(event, inField) {
    const text = event.clipboardData?.getData('text/plain') ?? '';
    const links = linksIn(text);
    if (isCurl(text)) {
      event.preventDefault();
      return this.#curl(text);
    }
    if (inField && links.length < 2) return;
    event.preventDefault();
    if (links.length) this.open(links);
    else toast('there is no link in what was pasted');
  }

  #dropping() {
    const veil = byId('drop');
    const brings = (event) => ['text/uri-list', 'text/plain', 'Files'].some((type) => event.dataTransfer?.types.includes(type));
    document.addEventListener('dragover', (event) => {
      if (!brings(event) || isDialogOpen()) return;
      event.preventDefault();
      veil.hidden = false;
    });
    document.addEventListener('dragleave', (event) => {
      if (event.relatedTarget === null) veil.hidden = true;
    });
    document.addEventListener('drop', async (event) => {
      veil.hidden = true;
      if (!brings(event) || isDialogOpen()) return;
      event.preventDefault();
      const files = [...event.dataTransfer.files];
      const text = event.dataTransfer.getData('text/uri-list') || event.dataTransfer.getData('text/plain');
      await this.take(text, files);
    });
  }

  // Text with links, lists of links in files, Metalinks.
  async take(text, files) {
    const links = linksIn(text);
    for (const file of files) {
      const content = await file.text();
      if (/\.meta4$/i.test(file.name)) await this.#metalink(content);
      else links.push(...linksIn(content));
    }
    if (links.length) this.open([...new Set(links)]);
    else if (!files.length) toast('there is no link in what was dropped');
  }

  async #metalink(content) {
    try {
      this.#report(await post('/v1/jobs', content, { type: 'application/metalink4+xml' }), []);
    } catch (error) {
      failed(error);
    }
  }

  async #curl(text) {
    try {
      const job = await post('/v1/jobs', text, { type: 'application/x-curl' });
      this.jobs.put(job);
      toast(`added ${job.shown.name}`, { tone: 'good' });
    } catch (error) {
      failed(error);
    }
  }

  // The field, without options.
  async #sent(paused) {
    const typed = this.text.value.trim();
    if (!typed) return this.open([]);
    const links = linksIn(typed);
    // What is no link is refused by the daemon, in its words.
    const urls = links.length ? links : [typed];
    try {
      const results = await this.#submit(urls.map((url) => ({ url, ...(paused ? { start: 'paused' } : {}) })));
      this.text.value = '';
      this.#report({ results }, urls);
    } catch (error) {
      failed(error);
    }
  }

  async #submit(jobs) {
    const results = [];
    for (let at = 0; at < jobs.length; at += BATCH) {
      const answer = await post('/v1/jobs', { jobs: jobs.slice(at, at + BATCH) });
      results.push(...answer.results);
    }
    for (const { job } of results) if (job) this.jobs.put(job);
    return results;
  }

  // Says what became of each: in a word where all went well, else in a list.
  #report({ results }, urls) {
    for (const { job } of results) if (job && !job.shown) this.jobs.put(job);
    const added = results.filter(({ status }) => status === 201);
    const known = results.filter(({ status }) => status === 200);
    const refused = results.filter(({ problem }) => problem);
    if (results.length === 1 && refused.length) return failed(new Problem(refused[0].problem));
    if (added.length === 1 && results.length === 1) return toast(`added ${added[0].job.shown.name}`, { tone: 'good' });
    if (known.length === 1 && results.length === 1) {
      return toast(`is there already: ${known[0].job.shown.name} (job ${known[0].job.id})`, { tone: 'warn', forMs: 9000 });
    }
    if (added.length === results.length) return toast(`added ${count(added.length, 'job')}`, { tone: 'good' });
    const summary = [[added, 'added'], [known, 'there already'], [refused, 'refused']]
      .filter(([some]) => some.length)
      .map(([some, word]) => `${some.length} ${word}`)
      .join(', ');
    const lines = results
      .map((result, index) => ({ result, url: urls[index] ?? result.job?.url ?? '' }))
      .filter(({ result }) => result.status !== 201)
      .slice(0, SHOWN_MAX)
      .map(({ result, url }) => {
        const { job, problem } = result;
        const says = job ? `is there already as job ${job.id}` : `${problem.field ? `${problem.field}: ` : ''}${problem.detail}`;
        return el('li', { data: { tone: job ? 'warn' : 'bad' } }, el('span', { class: 'clip' }, url), el('span', { class: 'muted' }, says));
      });
    openDialog({ title: summary, content: el('ul', { class: 'results' }, lines), wide: true });
  }

  // The dialog with all options.
  open(links) {
    const urls = el('textarea', { name: 'url', rows: String(Math.min(8, Math.max(3, links.length))), required: true, spellcheck: 'false', 'aria-label': 'Links, one a line' });
    urls.value = links.join('\n');
    if (!links.length) urls.dataset.first = '';
    const names = el('datalist', { id: 'known-labels' }, this.jobs.labels().map((label) => el('option', { value: label })));
    const fields = {
      dir: input('dir', { placeholder: 'the download directory' }),
      filename: input('filename', { placeholder: 'what the server says' }),
      connections: input('connections', { type: 'number', min: '1', max: '64', placeholder: 'as in the limits' }),
      bandwidth_limit: input('bandwidth_limit', { placeholder: 'none' }),
      label: input('label', { placeholder: 'none', maxlength: '64', list: 'known-labels' }),
      priority: input('priority', { type: 'number', min: '-100', max: '100', placeholder: '0' }),
      checksum: input('checksum', { placeholder: 'sha256:…, sha512:…, blake3:…, md5:…' }),
    };
    const paused = checkbox('start', 'start paused');
    const copy = checkbox('on_duplicate', 'also what is there already');
    const looks = el('ul', { class: 'results' });
    const look = button('Look first', () => this.#look(linksIn(urls.value), looks, look), { title: 'Ask the servers, without fetching anything' });
    const { go } = openDialog({
      title: 'Add downloads',
      wide: true,
      content: [
        field('Links, one a line', urls),
        el('div', { class: 'line' }, look),
        looks,
        names,
        el('div', { class: 'columns' }, field('Directory', fields.dir), field('Name', fields.filename, 'for one link')),
        el('div', { class: 'columns' }, field('Connections', fields.connections), field('Bandwidth limit', fields.bandwidth_limit, 'such as 2MB'), field('Label', fields.label), field('Priority', fields.priority)),
        field('Checksum', fields.checksum, 'for one link'),
        el('div', { class: 'line' }, paused, copy),
      ],
      submit: 'Add',
      onSubmit: async () => {
        const wanted = linksIn(urls.value);
        const all = wanted.length ? wanted : urls.value.split('\n').map((line) => line.trim()).filter(Boolean);
        const options = readOptions(fields, all.length);
        if (paused.firstChild.checked) options.start = 'paused';
        if (copy.firstChild.checked) options.on_duplicate = 'copy';
        const results = await this.#submit(all.map((url) => ({ url, ...options })));
        if (results.length === 1 && results[0].problem) throw new Problem(results[0].problem);
        this.#report({ results }, all);
      },
    });
    if (links.length) go.focus();
  }

  async #look(links, list, look) {
    list.replaceChildren();
    look.disabled = true;
    await forEach(links.slice(0, LOOK_MAX), async (url) => {
      const says = el('span', { class: 'muted' }, 'asking…');
      const line = el('li', {}, el('span', { class: 'clip' }, url), says);
      list.append(line);
      try {
        const seen = await post('/v1/probe', { url });
        const known = [...this.jobs.all.values()].find((job) => job.url === url);
        says.textContent = [
          seen.filename,
          seen.total_bytes === null ? 'size unknown' : size(seen.total_bytes),
          seen.resumable ? 'can be resumed' : 'cannot be resumed',
          known && `is there already as job ${known.id}`,
        ].filter(Boolean).join(' · ');
        line.dataset.tone = known ? 'warn' : 'good';
      } catch (error) {
        says.textContent = error.message;
        line.dataset.tone = 'bad';
      }
    }, 4);
    if (links.length > LOOK_MAX) list.append(el('li', {}, `and ${links.length - LOOK_MAX} more, which were not looked at`));
    look.disabled = false;
  }
}

// The options that were given. Those that one file alone can have are refused for several.
function readOptions(fields, number) {
  const options = {};
  for (const name of ['dir', 'filename', 'label', 'checksum']) {
    const value = fields[name].value.trim();
    if (value) options[name] = value;
  }
  for (const name of ['filename', 'checksum']) {
    if (options[name] && number > 1) throw new Problem({ detail: `${name === 'filename' ? 'a name' : 'a checksum'} is for one link, not for ${number}`, field: name });
  }
  for (const name of ['connections', 'priority']) if (fields[name].value) options[name] = Number(fields[name].value);
  if (fields.bandwidth_limit.value) {
    const rate = parseRate(fields.bandwidth_limit.value);
    if (rate === null) throw new Problem({ detail: 'a limit is a number with a unit, such as 2MB or 500KB', field: 'bandwidth_limit' });
    options.bandwidth_limit = rate;
  }
  return options;
}
