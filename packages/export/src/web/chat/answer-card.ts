import { h } from '../browser/dom.js';
import { TokenList, type TokenListOptions } from '../browser/token-list.js';
import type { Model, Part } from './api.js';
import { type ReadToken, TokenReader } from './read-tokens.js';

export interface AnswerCardOptions extends Pick<TokenListOptions<ReadToken>, 'styleOf' | 'onToken'> {
  readonly model: Model;
  /** Text that precedes what the model writes. */
  readonly given: string;
  /** Ids of the tokens that the model has read for earlier answers; null if experts are not requested. */
  readonly known: readonly number[] | null;
  readonly numExperts: number;
  readonly endOfText: string;
}

const ENDINGS = { stop: 'the model ended it', length: 'as long as asked' } as const;

/**
 * An answer as it arrives: its text or, with experts, each token above the experts that took it and at the end the text
 * below. What is shown does not move while the rest arrives.
 */
export class AnswerCard {
  readonly element: HTMLElement;
  readonly #text = h('p', { class: 'answer' });
  readonly #shown = new Text();
  readonly #state = h('span', { class: 'state' }, 'waiting');
  readonly #reader: TokenReader | null;
  readonly #list: TokenList<ReadToken>;
  /** Shown below the answer at its end, as they would move it. */
  readonly #warnings: string[] = [];
  #written = '';
  /** Text of the generated tokens whose experts are known. */
  #readLength = 0;
  #ending = 'stopped';
  #firstMs = 0;

  constructor({ model, given, known, numExperts, endOfText, styleOf, onToken }: AnswerCardOptions) {
    this.#reader = known && new TokenReader(known, numExperts, endOfText);
    this.#list = new TokenList({
      label: `tokens of an answer of domain ${model.domain}`,
      sparseLayers: model.sparse_layers,
      styleOf,
      onToken,
    });
    if (given !== '') this.#text.append(h('span', { class: 'given' }, given.replace(/^\n/, '')));
    this.#text.append(this.#shown);
    this.element = h(
      'article',
      { class: 'card text', style: styleOf(model.experts[0] ?? 0), 'data-text': '' },
      h('header', {}, h('h2', {}, model.domain), this.#state),
      known ? this.#list.element : this.#text,
    );
  }

  /** Text that the model has written. */
  get text(): string {
    return this.#written;
  }

  /** Ids of the tokens that the model has read; empty if experts are not requested. */
  get ids(): readonly number[] {
    return this.#reader?.ids ?? [];
  }

  add({ text, routes, finishReason, warnings, numTokens }: Part): void {
    this.#firstMs ||= performance.now();
    this.#state.textContent = 'writing';
    this.#written += text;
    this.#shown.appendData(text);
    if (finishReason !== null) this.#ending = ENDINGS[finishReason];
    if (numTokens !== null && numTokens > 1) {
      const seconds = (performance.now() - this.#firstMs) / 1000;
      this.#ending = `${((numTokens - 1) / seconds).toFixed(1)} tokens/s, ${this.#ending}`;
    }
    this.#warnings.push(...warnings);
    const tokens = this.#reader?.add(routes) ?? [];
    for (const token of tokens) if (token.kind === 'generated') this.#readLength += token.text.length;
    this.#list.add(tokens);
  }

  /** Ends the answer, which was stopped if its last part has not arrived. */
  end(): void {
    const unread = this.#reader === null ? '' : this.#written.slice(this.#readLength);
    if (unread !== '') this.#list.add([{ id: null, kind: 'generated', text: unread, layers: [] }]);
    this.#show(this.#ending);
  }

  failed(reason: string): void {
    this.#state.classList.add('failed');
    this.#show(`failed: ${reason}`);
  }

  #show(state: string): void {
    this.#state.textContent = state;
    if (this.#text.parentElement === null) this.element.append(this.#text);
    this.element.append(...this.#warnings.map((warning) => h('p', { class: 'hint' }, warning)));
    // Programs that read the page find the complete answer here.
    this.element.dataset.text = this.#written;
  }
}
