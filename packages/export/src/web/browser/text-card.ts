import { h, percent } from './dom.js';
import type { Ending, LayerRouting, ModelConfig, RoutedToken } from './messages.js';

export interface TextCardOptions {
  readonly config: ModelConfig;
  readonly domain: number;
  readonly styleOf: (expert: number) => string;
  /** Called with the token that a person points at or goes to. */
  readonly onToken: (token: RoutedToken) => void;
}

const ENDINGS: Readonly<Record<Ending, string>> = {
  'end-of-text': 'the model ended it',
  length: 'as long as asked',
  stopped: 'stopped',
};

/** A text as it is generated: each token above the experts that took it, layer by layer. */
export class TextCard {
  readonly element: HTMLElement;
  readonly tokens: RoutedToken[] = [];
  readonly #list: HTMLElement;
  /** The answer to a question as it reads; empty where a text is continued. */
  readonly #answer = h('p', { class: 'answer' });
  readonly #state: HTMLElement;
  readonly #options: TextCardOptions;

  constructor(options: TextCardOptions) {
    this.#options = options;
    const domain = options.config.domains[options.domain]!;
    this.#state = h('span', { class: 'state' }, 'waiting');
    this.#list = h('div', {
      class: 'tokens',
      role: 'listbox',
      'aria-label': `tokens of a text of domain ${domain}`,
      tabindex: '-1',
    });
    const labels = options.config.sparseLayers.map((layer) => h('span', {}, `layer ${layer}`));
    if (labels.length > 0) this.#list.append(h('div', { class: 'rows', role: 'presentation' }, ...labels));
    const expert = options.config.expertsOfDomain[options.domain]![0]!;
    this.element = h(
      'article',
      { class: 'card text', style: options.styleOf(expert) },
      h('header', {}, h('h2', {}, domain), this.#state),
      this.#answer,
      this.#list,
    );
    this.#list.addEventListener('keydown', (event) => this.#onKey(event));
    for (const type of ['pointerover', 'focusin'])
      this.#list.addEventListener(type, ({ target }) => {
        const token = this.#tokenAt(target);
        if (token) options.onToken(token);
      });
  }

  add(tokens: readonly RoutedToken[]): void {
    this.#state.textContent = 'writing';
    const asks = this.#options.config.templates[this.#options.domain] !== null;
    for (const token of tokens) {
      const element = this.#elementOf(token, this.tokens.length);
      // One stop of the Tab key for the whole text; arrows go on from there.
      element.tabIndex = this.tokens.length === 0 ? 0 : -1;
      this.tokens.push(token);
      this.#list.append(element);
      if (token.kind !== 'generated') continue;
      // Programs that read the page find the unformatted text here.
      this.#list.dataset.text = (this.#list.dataset.text ?? '') + token.text;
      if (asks) this.#answer.append(token.text);
    }
  }

  done(tokensPerS: number, ending: Ending): void {
    const speed = tokensPerS > 0 ? `${tokensPerS.toFixed(1)} tokens/s, ` : '';
    this.#state.textContent = speed + ENDINGS[ending];
  }

  failed(reason: string): void {
    this.#state.textContent = `failed: ${reason}`;
  }

  #elementOf(token: RoutedToken, index: number): HTMLElement {
    const { config } = this.#options;
    const attributes = {
      class: `token ${token.kind}`,
      role: 'option',
      'aria-selected': 'false',
      'data-index': String(index),
      'aria-label': `${shown(token)}: ${describe(token, config)}`,
    };
    const rows = token.layers.map((layer) => this.#takersOf(layer));
    return h('div', attributes, h('span', { class: 'characters' }, shown(token)), ...rows);
  }

  /** The experts of a layer that took the token, each as wide as its weight. */
  #takersOf({ weights }: LayerRouting): HTMLElement {
    const row = h('span', { class: 'takers' });
    weights.forEach((weight, expert) => {
      if (weight === 0) return;
      const style = `${this.#options.styleOf(expert)}; flex-grow: ${Math.max(0.15, weight).toFixed(3)}`;
      row.append(h('i', { style, 'data-expert': String(expert) }, String(expert)));
    });
    if (row.childElementCount === 0) row.classList.add('passed');
    return row;
  }

  #tokenAt(target: EventTarget | null): RoutedToken | undefined {
    const element = target instanceof Element ? target.closest<HTMLElement>('.token') : null;
    return this.tokens[Number(element?.dataset.index)];
  }

  #onKey(event: KeyboardEvent): void {
    const all = [...this.#list.querySelectorAll<HTMLElement>('.token')];
    const at = all.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    const next = to === undefined ? undefined : all[to];
    if (!next) return;
    event.preventDefault();
    for (const element of all) element.tabIndex = element === next ? 0 : -1;
    next.focus();
  }
}

/** A token in visible characters. */
export function shown({ text, kind }: RoutedToken): string {
  if (kind === 'start') return '\u25b8';
  if (text === '') return '\u2026';
  return text
    .replaceAll('\n', '\u21b5')
    .replaceAll('\t', '\u21e5')
    .replaceAll(/ {2,}/g, (spaces) => `\u2423${spaces.length}`)
    .replace(/^ $/, '\u2423');
}

/** "layer 2: expert 3 with 81 %; layer 3: none" */
function describe({ layers }: RoutedToken, config: ModelConfig): string {
  if (layers.length === 0) return 'not seen by the model';
  return layers
    .map(({ weights }, i) => {
      const takers = weights.flatMap((weight, expert) =>
        weight > 0 ? [`${expert} with ${percent(weight)}`] : [],
      );
      return `layer ${config.sparseLayers[i]}: ${takers.length > 0 ? `expert ${takers.join(', ')}` : 'none'}`;
    })
    .join('; ');
}
