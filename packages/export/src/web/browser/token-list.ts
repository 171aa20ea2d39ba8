import { h, percent } from './dom.js';
import type { ShownToken } from './messages.js';

export interface TokenListOptions<Token> {
  /** Name of the list for screen readers. */
  readonly label: string;
  /** Indices of the layers with experts. */
  readonly sparseLayers: readonly number[];
  readonly styleOf: (expert: number) => string;
  /** Called with the token that the user points at or moves to. */
  readonly onToken: (token: Token) => void;
}

/** Tokens, each above the experts that took it, layer by layer. */
export class TokenList<Token extends ShownToken> {
  readonly element: HTMLElement;
  readonly tokens: Token[] = [];

  constructor(private readonly options: TokenListOptions<Token>) {
    const labels = options.sparseLayers.map((layer) => h('span', {}, `layer ${layer}`));
    const list = h('div', { class: 'tokens', role: 'listbox', 'aria-label': options.label, tabindex: '-1' });
    if (labels.length > 0) list.append(h('div', { class: 'rows', role: 'presentation' }, ...labels));
    list.addEventListener('keydown', (event) => this.#onKey(event));
    for (const type of ['pointerover', 'focusin'])
      list.addEventListener(type, ({ target }) => {
        const token = this.#tokenAt(target);
        if (token) options.onToken(token);
      });
    this.element = list;
  }

  add(tokens: readonly Token[]): void {
    for (const token of tokens) {
      const element = this.#elementOf(token, this.tokens.length);
      // The whole text is one stop of the Tab key; arrow keys move on from there.
      element.tabIndex = this.tokens.length === 0 ? 0 : -1;
      this.tokens.push(token);
      this.element.append(element);
    }
  }

  #elementOf(token: Token, index: number): HTMLElement {
    const attributes = {
      class: `token ${token.kind}`,
      role: 'option',
      'aria-selected': 'false',
      'data-index': String(index),
      'aria-description': this.#describe(token),
    };
    const rows = token.layers.map(({ weights }) => this.#takersOf(weights));
    return h('div', attributes, h('span', { class: 'characters' }, shown(token)), ...rows);
  }

  /** Creates a row of the experts of a layer that took the token, each as wide as its weight. */
  #takersOf(weights: readonly number[]): HTMLElement {
    // The token's description names the experts.
    const row = h('span', { class: 'takers', 'aria-hidden': 'true' });
    weights.forEach((weight, expert) => {
      if (weight === 0) return;
      const style = `${this.options.styleOf(expert)}; flex-grow: ${Math.max(0.15, weight).toFixed(3)}`;
      row.append(h('i', { style, 'data-expert': String(expert) }, String(expert)));
    });
    if (row.childElementCount === 0) row.classList.add('passed');
    return row;
  }

  /** Describes a token as "layer 2: expert 3 with 81 %; layer 3: none". */
  #describe({ layers }: Token): string {
    if (layers.length === 0) return 'not seen by the model';
    return layers
      .map(({ weights }, i) => {
        const takers = weights.flatMap((weight, expert) =>
          weight > 0 ? [`${expert} with ${percent(weight)}`] : [],
        );
        return `layer ${this.options.sparseLayers[i]}: ${takers.length > 0 ? `expert ${takers.join(', ')}` : 'none'}`;
      })
      .join('; ');
  }

  #tokenAt(target: EventTarget | null): Token | undefined {
    const element = target instanceof Element ? target.closest<HTMLElement>('.token') : null;
    return this.tokens[Number(element?.dataset.index)];
  }

  #onKey(event: KeyboardEvent): void {
    const all = [...this.element.querySelectorAll<HTMLElement>('.token')];
    const at = all.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    const next = to === undefined ? undefined : all[to];
    if (!next) return;
    event.preventDefault();
    for (const element of all) element.tabIndex = element === next ? 0 : -1;
    next.focus();
  }
}

/** Returns a token in visible characters. */
export function shown({ text, kind }: Pick<ShownToken, 'text' | 'kind'>): string {
  if (kind === 'start') return '\u25b8';
  if (text === '') return '\u2026';
  return text
    .replaceAll('\n', '\u21b5')
    .replaceAll('\t', '\u21e5')
    .replaceAll(/ {2,}/g, (spaces) => `\u2423${spaces.length}`)
    .replace(/^ $/, '\u2423');
}
