import { byId, h } from '../browser/dom.js';
import { expertStyles, groupsOf } from '../browser/expert-color.js';
import { startTheme } from '../browser/theme.js';
import { AnswerCard } from './answer-card.js';
import {
  answer,
  type Context,
  endOfTextName,
  hasToken,
  keepToken,
  type Model,
  models,
  TokenNeeded,
} from './api.js';
import { readDetail } from './read-detail.js';

const gate = byId('gate', HTMLFormElement);
const form = byId('composer', HTMLFormElement);
const turns = byId('turns', HTMLElement);
const examples = byId('examples', HTMLElement);
const detail = byId('token', HTMLElement);
const prompt = form.elements.namedItem('prompt') as HTMLTextAreaElement;
const domain = form.elements.namedItem('domain') as HTMLSelectElement;
const maxTokens = form.elements.namedItem('length') as HTMLInputElement;
const temperature = form.elements.namedItem('temperature') as HTMLInputElement;
const experts = form.elements.namedItem('experts') as HTMLInputElement;
const send = byId('send', HTMLButtonElement);
const stop = byId('stop', HTMLButtonElement);
const startAnew = byId('new', HTMLButtonElement);
const main = document.querySelector('main')!;
const aside = document.querySelector('aside')!;
const isNarrow = matchMedia('(max-width: 900px)');

/** Default maximum length of an answer in tokens, or the model's window if that is shorter. */
const DEFAULT_TOKENS = 512;

let served: readonly Model[] = [];
let endOfText = '';
let styleOf: (expert: number) => string = () => '';
/** Input of the model before the next message; null at the beginning. */
let context: Context | null = null;
/** Ids of the tokens that the model has read for this context. */
let known: readonly number[] = [];
/** Stops the current answer; null if there is none. */
let running: AbortController | null = null;

startTheme(byId('theme', HTMLButtonElement));
gate.addEventListener('submit', (event) => {
  event.preventDefault();
  keepToken(String(new FormData(gate).get('token')));
  void open();
});
form.addEventListener('submit', (event) => {
  event.preventDefault();
  if (running === null) void ask();
});
prompt.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});
addEventListener('keydown', ({ key }) => {
  if (key === 'Escape') running?.abort();
});
stop.addEventListener('click', () => running?.abort());
startAnew.addEventListener('click', () => {
  running?.abort();
  forget();
  // The card of the token is moved back before the answer that contains it is removed.
  aside.prepend(detail);
  turns.replaceChildren();
  showBusy();
  prompt.focus();
});
for (const input of [domain, experts]) input.addEventListener('change', showForm);
void open();

/** Requests the server's models, after asking for its token if needed. */
async function open(): Promise<void> {
  try {
    [served, endOfText] = await Promise.all([models(), endOfTextName()]);
    gate.hidden = true;
    if (main.hidden) start();
  } catch (error) {
    if (error instanceof TokenNeeded) askForToken();
    else tell(error);
  }
}

function askForToken(): void {
  gate.hidden = false;
  if (hasToken()) byId('gate-note', HTMLElement).textContent = 'The server does not take this token.';
  (gate.elements.namedItem('token') as HTMLInputElement).select();
}

function tell(error: unknown): void {
  const line = byId('loading', HTMLElement);
  line.hidden = false;
  line.classList.add('failed');
  line.textContent = `This does not work here: ${messageOf(error)}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function start(): void {
  const [{ id, max_model_len: window, sparse_layers: layers }] = served as readonly [Model];
  const groups = {
    domains: served.map((model) => model.domain),
    expertsOfDomain: served.map((model) => model.experts),
  };
  styleOf = expertStyles(groups);
  const name = id.split(':')[0]!;
  document.title = name;
  byId('name', HTMLElement).textContent = name;
  const sparse = layers.length === 0 ? 'It has no experts.' : `Its layers ${layers.join(', ')} have experts.`;
  byId('about', HTMLElement).textContent =
    `A language model that reads ${window} tokens at a time. ${sparse}`;
  domain.append(...served.map((model, i) => h('option', { value: String(i) }, model.domain)));
  byId('domains', HTMLElement).hidden = served.length === 1;
  byId('experts', HTMLElement).hidden = layers.length === 0;
  maxTokens.value = String(Math.min(DEFAULT_TOKENS, window));
  byId('legend', HTMLElement).append(
    ...groupsOf(groups).flatMap(({ experts, domains }) => [
      h('dt', {}, domains.join(', ')),
      h('dd', {}, ...experts.map((expert) => h('i', { style: styleOf(expert) }, String(expert)))),
    ]),
  );
  main.hidden = false;
  showForm();
  prompt.focus();
}

function chosen(): Model {
  return served[Number(domain.value)]!;
}

function showForm(): void {
  const { chat, examples: prompts } = chosen();
  byId('note', HTMLElement).textContent = chat
    ? 'The model answers, and reads the whole conversation each time.'
    : 'This model was not trained on conversations: it continues your text.';
  prompt.placeholder = chat ? 'Ask something' : 'Begin a text, or leave it empty';
  send.textContent = chat ? 'Send' : 'Continue';
  examples.replaceChildren(
    h('h2', { class: 'hint' }, 'Examples'),
    ...prompts.map((text) => {
      const button = h('button', { type: 'button' }, text);
      button.addEventListener('click', () => {
        prompt.value = text;
        prompt.focus();
        form.requestSubmit();
      });
      return button;
    }),
  );
  main.classList.toggle('with-experts', experts.checked);
}

function forget(): void {
  context = null;
  known = [];
}

/** Returns the context with the user's text added, as `locmoe generate --interactive` adds it. */
function said(before: Context | null, text: string, chat: boolean): Context {
  if (chat) return [...(typeof before === 'string' ? [] : (before ?? [])), { role: 'user', content: text }];
  if (typeof before !== 'string' || before === '') return text;
  return text === '' ? before : `${before}\n${text}`;
}

async function ask(): Promise<void> {
  const model = chosen();
  const text = prompt.value;
  if (model.chat && text.trim() === '') return;
  // A conversation cannot continue as a text, nor a text as a conversation.
  if (context !== null && model.chat !== (typeof context !== 'string')) forget();
  const asked = said(context, text, model.chat);
  const given =
    typeof asked === 'string' ? (typeof context === 'string' ? asked.slice(context.length) : asked) : '';
  const card = new AnswerCard({
    model,
    given,
    known: experts.checked ? known : null,
    numExperts: 1 + Math.max(...served.flatMap((each) => each.experts)),
    endOfText,
    styleOf,
    onToken(token) {
      byId('detail', HTMLElement).replaceChildren(readDetail(token, styleOf));
      // On a narrow screen, there is no room for the token's card beside the answers.
      if (isNarrow.matches) card.element.append(detail);
      else if (detail.parentElement !== aside) aside.prepend(detail);
    },
  });
  const question = h('p', { class: 'turn' }, text);
  const added = model.chat ? [question, card.element] : [card.element];
  const call = new AbortController();
  running = call;
  prompt.value = '';
  follow(() => {
    turns.append(...added);
    showBusy();
  });
  try {
    const limits = { maxTokens: Number(maxTokens.value), temperature: Number(temperature.value) };
    for await (const part of answer(
      { model, context: asked, routes: experts.checked, ...limits },
      call.signal,
    )) {
      follow(() => card.add(part));
    }
    follow(finish);
  } catch (error) {
    if (call.signal.aborted) follow(finish);
    else follow(() => fail(error));
  }
  if (running === call) running = null;
  showBusy();

  function finish(): void {
    card.end();
    // A new conversation has started meanwhile.
    if (!card.element.isConnected) return;
    context =
      typeof asked === 'string' ? asked + card.text : [...asked, { role: 'assistant', content: card.text }];
    known = card.ids;
  }

  /** Leaves the conversation as it was, so that the message can be sent again. */
  function fail(error: unknown): void {
    card.failed(messageOf(error));
    prompt.value ||= text;
    if (error instanceof TokenNeeded) askForToken();
  }
}

function showBusy(): void {
  const isBusy = running !== null;
  send.disabled = isBusy;
  stop.disabled = !isBusy;
  examples.hidden = turns.childElementCount > 0;
  startAnew.disabled = !examples.hidden;
  // Screen readers announce an answer once it is complete.
  turns.setAttribute('aria-busy', String(isBusy));
}

/** Changes the conversation, and keeps its end where it is, or at the bottom, unless the user has scrolled up. */
function follow(change: () => void): void {
  const end = () => turns.parentElement!.getBoundingClientRect().bottom;
  const before = end();
  change();
  const bottom = innerHeight - MARGIN_PX;
  if (before - bottom < NEAR_END_PX) scrollBy({ top: end() - Math.min(before, bottom) });
}

const NEAR_END_PX = 160;
/** Space below the composer, as in chat.css. */
const MARGIN_PX = 12;
