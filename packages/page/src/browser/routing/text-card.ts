import type { SequenceRoutes, StepRoutes } from '../../api-types.js';
import { button, fill, h } from '../dom.js';
import { formatCount } from '../format.js';
import { pageState, setState } from '../location.js';
import { type ShownToken, tokensOf } from './choices.js';
import { expertStyle } from './expert-colors.js';
import { groupsOf } from './expert-groups.js';
import { TokenText } from './token-text.js';

/** A larger group of experts is named by its first and its last. */
const MOST_CHIPS = 12;

/** A sequence: its tokens with their experts, whose colours a legend explains. */
export class TextCard {
  tokens: readonly ShownToken[] = [];
  /** Called with the index of the first token that is wanted. */
  onPage: (from: number) => void = () => undefined;
  readonly #title = h.h2();
  readonly #pages = h.div({ class: 'text-pages' });
  readonly #legend = h.div({ class: 'legend' });
  /** A token belongs to this step, even if a live run has recorded a newer one. */
  readonly #text = new TokenText((token) => setState({ token, expert: null, recorded: this.#step }));
  readonly element = h.section(
    { class: 'card text-card', 'aria-label': 'Text' },
    h.header(this.#title, this.#pages, this.#legend),
    this.#text.element,
    h.p(
      { class: 'hint text-key' },
      'Below a token the experts of each layer, as wide as their weights: ',
      ...(['kept', 'over-capacity', 'not-chosen'] as const).flatMap((name) => [
        h.i({ class: `expert-chip is-${name}`, 'aria-hidden': 'true' }, '0'),
        ` ${name.replace('-', ' ')} `,
      ]),
      '· A click or Enter shows the way of a token.',
    ),
  );

  #step: number | null = null;

  setGroups({ expertsOfDomain }: StepRoutes): void {
    const entries = groupsOf(expertsOfDomain).map(({ domains, experts }) =>
      h.span({ class: 'entry' }, domains.join(', '), ...chipsOf(experts)),
    );
    fill(this.#legend, ...entries);
  }

  set(sequence: SequenceRoutes, routes: StepRoutes): void {
    const { layer } = pageState();
    const chosen = routes.layers.filter((each) => String(each) === layer);
    this.tokens = tokensOf(sequence);
    this.#step = sequence.step;
    const { domain, rank, node, length, from } = sequence;
    const unread =
      sequence.tokens.text === null
        ? '; the tokenizer of the run cannot be read here, so tokens have their ids'
        : '';
    fill(
      this.#title,
      domain,
      ' ',
      h.small(
        `sequence ${sequence.sequence} on rank ${rank}, node ${node}: ${formatCount(length)} tokens${unread}`,
      ),
    );
    this.#setPages(from, this.tokens.length, length);
    this.#text.set(
      this.tokens,
      chosen.length > 0 ? chosen : routes.layers,
      `tokens of sequence ${sequence.sequence}, ${domain}`,
    );
    this.mark();
  }

  /** Marks the token and the expert of the state. */
  mark(): void {
    const { token, expert } = pageState();
    this.#text.highlight(expert);
    this.#text.select(token);
  }

  showAbove(top: number): void {
    this.#text.showAbove(top);
  }

  focus(): void {
    this.#text.focus();
  }

  #setPages(from: number, shown: number, length: number): void {
    if (shown === length) {
      fill(this.#pages);
      return;
    }
    const to = (first: number, label: string, text: string, isThere: boolean) =>
      button(text, () => this.onPage(first), { label, disabled: !isThere, 'data-page': label });
    fill(
      this.#pages,
      to(Math.max(0, from - shown), 'tokens before', '‹', from > 0),
      h.span(`${formatCount(from + 1)} to ${formatCount(from + shown)}`),
      to(from + shown, 'tokens after', '›', from + shown < length),
    );
  }
}

function chipsOf(experts: readonly number[]): HTMLElement[] {
  const chip = (expert: number) =>
    h.i({ class: 'expert-chip is-kept', style: expertStyle(expert) }, String(expert));
  if (experts.length <= MOST_CHIPS) return experts.map(chip);
  return [chip(experts[0]!), h.span('to'), chip(experts.at(-1)!)];
}
