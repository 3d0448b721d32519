// Tells by the system's notifications that jobs have ended while nobody looks. Asked for by a click, and by nothing else.

import { byId } from './dom.js';
import { count } from './format.js';
import { icon } from './icons.js';
import { toast } from './toast.js';

const KEY = 'haul.notify';
// What ends together is told together.
const GATHER_MS = 1500;
// Names in one notification.
const NAMES_MAX = 5;

export class Notify {
  #ended = [];
  #timer = null;

  constructor(jobs, list) {
    Object.assign(this, { jobs, list });
    this.bell = byId('bell');
    this.bell.append(icon('bell'));
    // Browsers have none for pages that come over plain HTTP from another machine.
    this.bell.hidden = !('Notification' in window) || !isSecureContext;
    this.bell.addEventListener('click', () => this.toggle());
    jobs.addEventListener('told', ({ detail }) => this.#told(detail));
    this.#show();
  }

  get isOn() {
    try {
      return localStorage.getItem(KEY) === 'on' && window.Notification?.permission === 'granted';
    } catch {
      return false;
    }
  }

  async toggle() {
    const turnsOn = !this.isOn;
    if (turnsOn && (await Notification.requestPermission()) !== 'granted') {
      toast('the browser does not permit notifications of this page; its settings say otherwise', { tone: 'warn' });
      return this.#show();
    }
    try {
      localStorage.setItem(KEY, turnsOn ? 'on' : 'off');
      toast(turnsOn ? 'tells you when a download ends while you are elsewhere' : 'no notifications any more');
    } catch {
      toast('this browser keeps nothing for this page, so it cannot be turned on', { tone: 'warn' });
    }
    this.#show();
  }

  #show() {
    this.bell.setAttribute('aria-pressed', String(this.isOn));
  }

  #told({ kind, job: id, detail }) {
    if (!['completed', 'failed'].includes(kind) || !this.isOn || document.hasFocus()) return;
    this.#ended.push({ id, kind, detail });
    this.#timer ??= setTimeout(() => this.#tell(), GATHER_MS);
  }

  #tell() {
    // What has come and gone at once is known by its name only now.
    const ended = this.#ended.map((one) => ({ ...one, name: this.jobs.all.get(one.id)?.shown.name ?? `job ${one.id}` }));
    [this.#ended, this.#timer] = [[], null];
    const [only] = ended;
    const [title, body] = ended.length === 1 ? inWords(only) : together(ended);
    let told;
    try {
      // Of several windows with this page the last one tells it.
      told = new Notification(title, { body, icon: '/assets/icon.svg', tag: `haul-${only.id}` });
    } catch {
      // Not in browsers that want a service worker for it.
      return;
    }
    told.addEventListener('click', () => {
      told.close();
      focus();
      if (ended.length > 1 || !this.jobs.all.has(only.id)) return;
      this.list.settle();
      this.list.goTo(only.id);
      this.list.dispatchEvent(new CustomEvent('open', { detail: only.id }));
    });
  }
}

const inWords = ({ kind, name, detail }) => (kind === 'completed' ? [`${name} is complete`, ''] : [`${name} has failed`, detail ?? '']);

function together(ended) {
  const number = (wanted) => ended.filter(({ kind }) => kind === wanted).length;
  const [completed, failed] = [number('completed'), number('failed')];
  const title = [completed && `${count(completed, 'download')} complete`, failed && `${failed.toLocaleString()} failed`].filter(Boolean).join(', ');
  const names = ended.slice(0, NAMES_MAX).map(({ name }) => name);
  return [title, [...names, ended.length > NAMES_MAX && '…'].filter(Boolean).join('\n')];
}
