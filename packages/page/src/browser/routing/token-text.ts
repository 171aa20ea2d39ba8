import { fill, h } from '../dom.js';
import type { TextToken } from './choices.js';
import { expertStyle } from './expert-colors.js';

/** Minimum share of the width for an expert below a token, whatever its weight. */
const LEAST_WIDTH = 0.15;

/** Free pixels below a token that was scrolled to. */
const CLEARANCE = 12;

/** A text: each token above its experts, by layer. It is one Tab stop; arrow keys move between tokens. */
export class TokenText {
  readonly element = h.div({ class: 'tokens', role: 'listbox', 'aria-label': 'tokens' });
  #elements: readonly HTMLElement[] = [];
  #tokens: readonly TextToken[] = [];
  #selected: number | null = null;

  /**
   * @param onSelect called with the index in the sequence of a token that is clicked, or for which Enter is
   *   pressed
   */
  constructor(private readonly onSelect: (index: number) => void) {
    this.element.addEventListener('click', ({ target }) => {
      const token = this.#at(target);
      if (token !== undefined) this.onSelect(token.index);
    });
    this.element.addEventListener('keydown', (event) => this.#onKey(event));
  }

  /** @param layers the sparse layers whose experts are shown */
  set(tokens: readonly TextToken[], layers: readonly number[], name: string): void {
    const hadFocus = this.element.contains(document.activeElement);
    this.#tokens = tokens;
    this.#elements = tokens.map((token) => tokenElement(token, layers));
    this.element.setAttribute('aria-label', name);
    const rows = layers.map((layer) => h.span(`layer ${layer}`));
    fill(this.element, h.div({ class: 'rows', role: 'presentation' }, ...rows), ...this.#elements);
    this.#enter(this.#elements[0]);
    this.select(this.#selected);
    if (hadFocus) this.focus();
  }

  /** Marks a token of the sequence; null for none. */
  select(index: number | null): void {
    this.#selected = index;
    this.#elements.forEach((element, at) => {
      const isSelected = this.#tokens[at]!.index === index;
      element.setAttribute('aria-selected', String(isSelected));
      if (isSelected) this.#enter(element);
    });
  }

  /**
   * Keeps the colours only of an expert and of the tokens that chose it; null for all.
   *
   * @param expert as `layer.expert`
   */
  highlight(expert: string | null): void {
    this.element.classList.toggle('is-highlighted', expert !== null);
    for (const chip of this.element.querySelectorAll<HTMLElement>('.expert-chip'))
      chip.classList.toggle('hit', chip.dataset.expert === expert);
    this.#elements.forEach((element, at) => {
      const { choices } = this.#tokens[at]!;
      element.classList.toggle(
        'hit',
        choices.some((choice) => `${choice.layer}.${choice.expert}` === expert),
      );
    });
  }

  /**
   * Scrolls until the marked token is above the element that covers the bottom of the window.
   *
   * @param top upper edge of that element
   */
  showAbove(top: number): void {
    const marked = this.#elements.find((_, at) => this.#tokens[at]!.index === this.#selected);
    const hidden = marked === undefined ? 0 : marked.getBoundingClientRect().bottom - top;
    if (hidden > 0) scrollBy(0, hidden + CLEARANCE);
  }

  focus(): void {
    this.#elements.find(({ tabIndex }) => tabIndex === 0)?.focus();
  }

  #at(target: EventTarget | null): TextToken | undefined {
    const element = target instanceof Element ? target.closest<HTMLElement>('.token') : null;
    return element === null ? undefined : this.#tokens[this.#elements.indexOf(element)];
  }

  /** Makes this token the one that Tab leads to. */
  #enter(element: HTMLElement | undefined): void {
    for (const other of this.#elements) if (other.tabIndex === 0) other.tabIndex = -1;
    if (element) element.tabIndex = 0;
  }

  #onKey(event: KeyboardEvent): void {
    const at = this.#elements.indexOf(document.activeElement as HTMLElement);
    if (at < 0) return;
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      this.onSelect(this.#tokens[at]!.index);
      return;
    }
    const next = this.#next(event.key, at);
    if (next === undefined) return;
    event.preventDefault();
    this.#enter(next);
    next.focus();
    // If the path of a token is open, it is replaced by the path of the next token.
    if (this.#selected !== null) this.onSelect(this.#tokens[this.#elements.indexOf(next)]!.index);
  }

  #next(key: string, at: number): HTMLElement | undefined {
    if (key === 'ArrowRight') return this.#elements[at + 1];
    if (key === 'ArrowLeft') return this.#elements[at - 1];
    if (key === 'Home') return this.#elements[0];
    if (key === 'End') return this.#elements.at(-1);
    if (key === 'ArrowDown') return nearest(this.#elements.slice(at + 1), this.#elements[at]!);
    if (key === 'ArrowUp') return nearest(this.#elements.slice(0, at).reverse(), this.#elements[at]!);
    return undefined;
  }
}

/**
 * Returns the element of the first line of `others` that is horizontally nearest.
 *
 * @param others in order, away from `element`
 */
function nearest(others: readonly HTMLElement[], element: HTMLElement): HTMLElement | undefined {
  const top = others.find(({ offsetTop }) => offsetTop !== element.offsetTop)?.offsetTop;
  const distance = ({ offsetLeft }: HTMLElement) => Math.abs(offsetLeft - element.offsetLeft);
  return others.filter(({ offsetTop }) => offsetTop === top).sort((a, b) => distance(a) - distance(b))[0];
}

/** Creates a token. The name that screen readers announce is the visible text, with hidden words between. */
function tokenElement({ text, choices, isChanged }: TextToken, layers: readonly number[]): HTMLElement {
  const rows = layers.map((layer) => {
    const own = choices.filter((choice) => choice.layer === layer);
    const words = unseen(` layer ${layer}: ${own.length === 0 ? 'no expert' : 'expert '}`);
    return h.span({ class: own.length === 0 ? 'takers passed' : 'takers' }, words, ...own.flatMap(expertOf));
  });
  const name = isChanged ? 'token is-changed' : 'token';
  const attributes = { class: name, role: 'option', tabindex: '-1', 'aria-selected': 'false' };
  const change = isChanged && unseen(' changed');
  return h.div(attributes, h.span({ class: 'characters' }, text), change, ...rows);
}

/** Creates an expert below a token, as wide as its weight. */
function expertOf({ layer, expert, weight, outcome }: TextToken['choices'][number]): HTMLElement[] {
  // Flex items whose growth factors sum to more than 1 fill the width.
  const share = Math.max(LEAST_WIDTH, weight ?? 1) / LEAST_WIDTH;
  const style = { ...expertStyle(expert), 'flex-grow': share.toFixed(2) };
  const attributes = {
    class: `expert-chip is-${outcome.replace(' ', '-')}`,
    style,
    'data-expert': `${layer}.${expert}`,
  };
  return [h.i(attributes, String(expert)), unseen(outcome === 'kept' ? ' ' : ` ${outcome} `)];
}

function unseen(text: string): HTMLElement {
  return h.span({ class: 'unseen' }, text);
}
