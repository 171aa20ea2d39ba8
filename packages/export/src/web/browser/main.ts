import { byId, h } from './dom.js';
import { expertStyles, groupsOf } from './expert-color.js';
import { type ChosenExpert, ExpertLoad } from './expert-load.js';
import type { FromWorker, GenerateRequest, ModelConfig, ToWorker } from './messages.js';
import { TextCard } from './text-card.js';
import { startTheme } from './theme.js';
import { tokenDetail } from './token-detail.js';

const form = byId('composer', HTMLFormElement);
const texts = byId('texts', HTMLElement);
const detail = byId('detail', HTMLElement);
const loading = byId('loading', HTMLElement);
const prompt = form.elements.namedItem('prompt') as HTMLTextAreaElement;
const promptHint = byId('prompt-hint', HTMLElement);
const all = byId('all', HTMLButtonElement);
const stop = byId('stop', HTMLButtonElement);
const worker = new Worker(new URL('worker.js', import.meta.url), { type: 'module' });

/** Cards by number of the text. */
const cards: TextCard[] = [];
let numDone = 0;
let load: ExpertLoad | null = null;
let chosen: ChosenExpert | null = null;

startTheme(byId('theme', HTMLButtonElement));
worker.addEventListener('message', ({ data }: MessageEvent<FromWorker>) => receive(data));
worker.addEventListener('error', ({ message }) => fail(message || 'the worker could not be started'));

function receive(message: FromWorker): void {
  switch (message.kind) {
    case 'loading':
      showProgress(message.bytes, message.totalBytes);
      break;
    case 'ready':
      start(message.config);
      break;
    case 'tokens':
      cards[message.text]!.add(message.tokens);
      load!.add(message.tokens);
      if (chosen) dimOthers();
      break;
    case 'done':
      cards[message.text]!.done(message.tokensPerS, message.ending);
      numDone++;
      showBusy();
      break;
    case 'failed':
      if (message.text === null) fail(message.message);
      else {
        cards[message.text]!.failed(message.message);
        numDone++;
        showBusy();
      }
  }
}

function tell(message: ToWorker): void {
  worker.postMessage(message);
}

function showProgress(bytes: number, totalBytes: number): void {
  const megabytes = (bytes / 1e6).toFixed(0);
  const of = bytes <= totalBytes ? ` of ${(totalBytes / 1e6).toFixed(0)}` : '';
  loading.textContent = `loading the model: ${megabytes}${of} MB`;
  loading.style.setProperty('--share', totalBytes > 0 ? String(Math.min(1, bytes / totalBytes)) : '1');
}

function fail(message: string): void {
  loading.hidden = false;
  loading.classList.add('failed');
  loading.textContent = `This does not work here: ${message}`;
}

function start(config: ModelConfig): void {
  const styleOf = expertStyles(config);
  byId('name', HTMLElement).textContent = config.name;
  byId('about', HTMLElement).textContent = about(config);
  document.title = `${config.name}: a mixture of experts, token by token`;
  byId('domains', HTMLElement).append(
    ...config.domains.map((domain, i) =>
      h(
        'label',
        { style: styleOf(config.expertsOfDomain[i]![0]!) },
        h('input', { type: 'radio', name: 'domain', value: String(i), checked: i === 0 ? 'checked' : '' }),
        domain,
      ),
    ),
  );
  load = new ExpertLoad(config, styleOf, (expert) => {
    chosen = expert;
    dimOthers();
  });
  byId('load', HTMLElement).append(load.element);
  if (config.sparseLayers.length === 0) byId('side', HTMLElement).hidden = true;
  byId('legend', HTMLElement).append(
    ...groupsOf(config).flatMap(({ experts, domains }) => [
      h('dt', {}, domains.join(', ')),
      h('dd', {}, ...experts.map((expert) => h('i', { style: styleOf(expert) }, String(expert)))),
    ]),
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    write(config, styleOf, [chosenDomain()]);
  });
  form.addEventListener('input', () => showForm(config));
  all.addEventListener('click', () => {
    if (form.reportValidity()) write(config, styleOf, domainsLikeChosen(config));
  });
  showForm(config);
  stop.addEventListener('click', () => tell({ kind: 'stop', upTo: cards.length - 1 }));
  loading.hidden = true;
  form.hidden = false;
}

function chosenDomain(): number {
  return Number((form.elements.namedItem('domain') as RadioNodeList).value);
}

/** Returns the domains that take questions if the chosen one does; otherwise those that continue a text. */
function domainsLikeChosen({ templates }: ModelConfig): number[] {
  const asks = templates[chosenDomain()] !== null;
  return [...templates.keys()].filter((domain) => (templates[domain] !== null) === asks);
}

/** Sets the labels of the form for a question or for a text, depending on the chosen domain. */
function showForm(config: ModelConfig): void {
  const asks = config.templates[chosenDomain()] !== null;
  byId('prompt-name', HTMLElement).textContent = asks ? 'Question' : 'Begin with';
  byId('write', HTMLButtonElement).textContent = asks ? 'Ask' : 'Write';
  all.textContent = asks ? 'Ask each domain' : 'Write one of each domain';
  all.hidden = domainsLikeChosen(config).length === 1;
  prompt.required = asks;
  prompt.placeholder = asks ? '' : 'Leave it empty, and the model begins by itself.';
  promptHint.hidden = asks || !prompt.value.endsWith(' ');
}

function about({ numParameters, sparseLayers, expertsOfDomain, router, seqLen }: ModelConfig): string {
  const numExperts = new Set(expertsOfDomain.flat()).size;
  const layers = sparseLayers.length === 1 ? 'One layer has' : `${sparseLayers.length} layers have`;
  const experts =
    sparseLayers.length === 0
      ? 'It is dense: it has no experts.'
      : `${layers} ${numExperts} experts each; the router ${router} decides which of them see a token.`;
  return `A language model of ${rounded(numParameters)} parameters that reads ${seqLen} tokens at a time. ${experts}`;
}

/** Formats 3100000 as "3.1 million". */
function rounded(count: number): string {
  const [unit, name] = count < 1e6 ? [1e3, 'thousand'] : count < 1e9 ? [1e6, 'million'] : [1e9, 'billion'];
  return `${(count / unit).toFixed(count < 1e6 ? 0 : 1)} ${name}`;
}

/** Writes a text for each of the domains, above the existing texts. */
function write(config: ModelConfig, styleOf: (expert: number) => string, domains: readonly number[]): void {
  const values = new FormData(form);
  const added = domains.map((domain) => {
    const card = new TextCard({
      config,
      domain,
      styleOf,
      onToken: (token) => detail.replaceChildren(tokenDetail(token, domain, config, styleOf)),
    });
    const request: GenerateRequest = {
      text: cards.push(card) - 1,
      domain,
      prompt: prompt.value,
      maxTokens: Number(values.get('length')),
      temperature: Number(values.get('temperature')),
    };
    tell({ kind: 'generate', request });
    return card.element;
  });
  texts.prepend(...added);
  showBusy();
}

function showBusy(): void {
  stop.disabled = numDone === cards.length;
}

/** Dims the tokens that the chosen expert did not take; without a chosen expert, shows all normally. */
function dimOthers(): void {
  for (const token of texts.querySelectorAll('.token')) {
    const row = chosen && token.querySelectorAll('.takers')[chosen.layer];
    token.classList.toggle('dim', chosen !== null && !row?.querySelector(`[data-expert="${chosen.expert}"]`));
  }
}
