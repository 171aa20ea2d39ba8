import type { FromTrainer, Progress, Settings } from './messages.js';

const ROUTERS = ['locmoe-plus', 'locmoe', 'switch', 'hash', 'deepseek', 'moge', 'expert-choice'];
const SVG = 'http://www.w3.org/2000/svg';
/** Size of the chart, whose labels stand to its left. */
const [WIDTH, HEIGHT, LEFT] = [600, 160, 36];

function byId<E extends Element = HTMLElement>(id: string): E {
  return document.getElementById(id) as unknown as E;
}

const form = byId<HTMLFormElement>('settings');
const status = byId('status');
const [trainButton, stopButton] = [byId<HTMLButtonElement>('train'), byId<HTMLButtonElement>('stop')];

let trainer: Worker | null = null;
let started = '';
let losses: { readonly step: number; readonly trained: number; readonly heldOut: number }[] = [];

function element(tag: string, text = '', className = ''): HTMLElement {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}

/** Returns an element in the colour of an expert. */
function ofExpert(tag: string, text: string, expert: number, numExperts: number, share = 0.35): HTMLElement {
  const made = element(tag, text, 'expert');
  made.style.setProperty('--hue', String(Math.round((360 * expert) / numExperts)));
  made.style.setProperty('--share', String(share));
  return made;
}

function say(text: string, hasFailed = false): void {
  status.textContent = text;
  status.classList.toggle('failed', hasFailed);
}

/** Says why the browser cannot train; null if it can. */
async function whyNot(): Promise<string | null> {
  if (!('gpu' in navigator))
    return 'This browser has no WebGPU. Chrome and Edge have it, and newer versions of Firefox and Safari.';
  if ((await navigator.gpu.requestAdapter()) === null) return 'WebGPU has no device on this computer.';
  if (!crossOriginIsolated)
    return 'This page has no shared memory, as its server sends no headers of isolation.';
  return null;
}

/**
 * Has the service worker send the headers of isolation, and loads the page again with them.
 *
 * @returns whether the page is about to be loaded again
 */
async function isolate(): Promise<boolean> {
  if (crossOriginIsolated || !('serviceWorker' in navigator) || navigator.serviceWorker.controller !== null)
    return false;
  await navigator.serviceWorker.register('isolate.js');
  await navigator.serviceWorker.ready;
  location.reload();
  return true;
}

async function addTexts(): Promise<void> {
  const samples: Settings['texts'] = await (await fetch('samples.json')).json();
  for (const [name, text] of Object.entries(samples)) {
    const label = element('label', name);
    const area = document.createElement('textarea');
    area.name = name;
    area.rows = 7;
    area.required = true;
    area.spellcheck = false;
    area.value = text;
    label.append(area);
    byId('texts').append(label);
  }
}

function settings(): Settings {
  const values = new FormData(form);
  const number = (name: string) => Number(values.get(name));
  const areas = [...form.querySelectorAll('textarea')];
  return {
    texts: Object.fromEntries(areas.map(({ name, value }) => [name, value])),
    router: String(values.get('router')),
    numExperts: number('experts'),
    dModel: number('width'),
    steps: number('steps'),
  };
}

function end(text: string, hasFailed = false): void {
  trainer?.terminate();
  trainer = null;
  trainButton.disabled = false;
  stopButton.disabled = true;
  say(text, hasFailed);
}

function begin(): void {
  const asked = settings();
  losses = [];
  trainButton.disabled = true;
  stopButton.disabled = false;
  say('opening and checking the device, making a vocabulary');
  trainer = new Worker('trainer.js', { type: 'module' });
  trainer.addEventListener('message', ({ data }: MessageEvent<FromTrainer>) => take(data, asked));
  trainer.addEventListener('error', ({ message }) => end(`the trainer failed: ${message}`, true));
  trainer.postMessage(asked);
}

function take(message: FromTrainer, { texts, steps }: Settings): void {
  switch (message.kind) {
    case 'started':
      started = `${message.numParameters.toLocaleString('en')} parameters on ${message.device}`;
      say(started);
      break;
    case 'progress': {
      const { step, tokensPerS } = message.progress;
      say(`step ${step} of ${steps}, ${Math.round(tokensPerS).toLocaleString('en')} tokens/s, ${started}`);
      show(message.progress, Object.keys(texts));
      break;
    }
    case 'done':
      end(`done: ${status.textContent}`);
      break;
    case 'failed':
      end(message.message, true);
  }
}

function show({ step, loss, heldOut }: Progress, names: readonly string[]): void {
  byId('results').hidden = false;
  losses.push({
    step,
    trained: loss,
    heldOut: heldOut.reduce((sum, each) => sum + each.loss, 0) / heldOut.length,
  });
  drawChart();
  const numExperts = heldOut[0]!.shares.length;
  const head = document.createElement('tr');
  head.append(
    element('th', 'expert'),
    ...heldOut[0]!.shares.map((_, expert) => element('th', String(expert))),
  );
  const rows = heldOut.map(({ shares }, domain) => {
    const row = document.createElement('tr');
    row.append(element('th', names[domain]));
    for (const [expert, share] of shares.entries())
      row.append(ofExpert('td', `${Math.round(100 * share)} %`, expert, numExperts, share));
    return row;
  });
  byId('shares').replaceChildren(head, ...rows);
  byId('held-out').replaceChildren(
    ...heldOut.flatMap(({ tokens }, domain) => {
      const text = element('p', '', 'text');
      for (const [token, expert] of tokens) {
        const span = expert < 0 ? element('span', token) : ofExpert('span', token, expert, numExperts);
        span.title = expert < 0 ? 'no expert' : `expert ${expert}`;
        text.append(span);
      }
      return [element('h2', names[domain]), text];
    }),
  );
}

function drawChart(): void {
  const all = losses.flatMap(({ trained, heldOut }) => [trained, heldOut]);
  const [least, greatest] = [Math.min(...all), Math.max(...all)];
  const last = losses.at(-1)!.step;
  const x = (step: number) => LEFT + ((WIDTH - LEFT) * step) / last;
  const y = (loss: number) => 8 + ((HEIGHT - 16) * (greatest - loss)) / Math.max(greatest - least, 1e-9);
  const line = (of: 'trained' | 'heldOut') =>
    losses.map((each) => `${x(each.step)},${y(each[of])}`).join(' ');
  const shape = (tag: string, attributes: Readonly<Record<string, string | number>>, text = '') => {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
    made.textContent = text;
    return made;
  };
  byId('chart').replaceChildren(
    ...[least, greatest].flatMap((loss) => [
      shape('line', { x1: LEFT, x2: WIDTH, y1: y(loss), y2: y(loss) }),
      shape('text', { x: 0, y: y(loss) + 4 }, loss.toFixed(2)),
    ]),
    shape('polyline', { points: line('trained') }),
    shape('polyline', { class: 'held-out', points: line('heldOut') }),
  );
  const read = losses.map(({ step, trained }) => `step ${step} ${trained.toFixed(4)}`);
  byId('chart').setAttribute('aria-label', `loss: ${read.join(', ')}`);
}

async function open(): Promise<void> {
  // The site's own pages keep their theme under this name.
  const isDark = matchMedia('(prefers-color-scheme: dark)').matches;
  document.documentElement.dataset.theme =
    localStorage.getItem('locmoe-theme') ?? (isDark ? 'dark' : 'light');
  if (await isolate()) return;
  const reason = await whyNot();
  if (reason !== null) {
    say(reason, true);
    return;
  }
  await addTexts();
  byId('settings')
    .querySelector('select')!
    .append(...ROUTERS.map((name) => new Option(name)));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    begin();
  });
  // Before this the form would send itself, and the page load again.
  trainButton.disabled = false;
  stopButton.addEventListener('click', () => end(`stopped: ${status.textContent}`));
}

open().catch((error: Error) => say(error.message, true));
