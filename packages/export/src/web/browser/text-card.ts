import { h } from './dom.js';
import type { Ending, ModelConfig, RoutedToken } from './messages.js';
import { TokenList, type TokenListOptions } from './token-list.js';

export interface TextCardOptions extends Pick<TokenListOptions<RoutedToken>, 'styleOf' | 'onToken'> {
  readonly config: ModelConfig;
  readonly domain: number;
}

const ENDINGS: Readonly<Record<Ending, string>> = {
  'end-of-text': 'the model ended it',
  length: 'as long as asked',
  stopped: 'stopped',
};

/** A text as it is generated: each token above the experts that took it, layer by layer. */
export class TextCard {
  readonly element: HTMLElement;
  readonly #list: TokenList<RoutedToken>;
  /** The answer to a question as plain text; empty if a text is continued. */
  readonly #answer = h('p', { class: 'answer' });
  readonly #state = h('span', { class: 'state' }, 'waiting');
  readonly #asks: boolean;

  constructor({ config, domain: id, styleOf, onToken }: TextCardOptions) {
    const domain = config.domains[id]!;
    const label = `tokens of a text of domain ${domain}`;
    this.#asks = config.templates[id] !== null;
    this.#list = new TokenList({ label, sparseLayers: config.sparseLayers, styleOf, onToken });
    this.element = h(
      'article',
      { class: 'card text', style: styleOf(config.expertsOfDomain[id]![0]!) },
      h('header', {}, h('h2', {}, domain), this.#state),
      this.#answer,
      this.#list.element,
    );
  }

  add(tokens: readonly RoutedToken[]): void {
    this.#state.textContent = 'writing';
    this.#list.add(tokens);
    const generated = tokens.flatMap(({ kind, text }) => (kind === 'generated' ? [text] : [])).join('');
    // Programs that read the page find the plain text here.
    const { dataset } = this.#list.element;
    dataset.text = (dataset.text ?? '') + generated;
    if (this.#asks) this.#answer.append(generated);
  }

  done(tokensPerS: number, ending: Ending): void {
    const speed = tokensPerS > 0 ? `${tokensPerS.toFixed(1)} tokens/s, ` : '';
    this.#state.textContent = speed + ENDINGS[ending];
  }

  failed(reason: string): void {
    this.#state.textContent = `failed: ${reason}`;
  }
}
