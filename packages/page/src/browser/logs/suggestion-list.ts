import { fill, h } from '../dom.js';

export interface Suggestion {
  /** Text that is shown, and compared with what is typed. */
  readonly text: string;
  readonly insert: string;
  /** The kind of the suggestion, such as label or operator. */
  readonly detail: string;
  /** Number of characters from the cursor to the end of the inserted text; 0 by default. */
  readonly caret?: number;
}

interface ListOptions {
  readonly name: string;
  /** Column of the input where the list begins. */
  readonly column?: number;
  /** Index of the suggestion that Enter accepts; -1 for none. */
  readonly active?: number;
  /** Element below the list. */
  readonly footer?: HTMLElement;
}

const ID = 'query-suggestions';

/** A list below an input, which keeps the focus: the popup of ARIA's combobox pattern. */
export class SuggestionList {
  readonly element = h.div({ class: 'suggestions' });
  readonly #list = h.div({ role: 'listbox', id: ID, tabindex: '-1' });
  #shown: readonly Suggestion[] = [];
  /** Index of the active suggestion; -1 for none. */
  #active = -1;

  /** @param onChoose called with the suggestion that is clicked */
  constructor(
    private readonly input: HTMLInputElement,
    onChoose: (suggestion: Suggestion) => void,
  ) {
    const attributes = { role: 'combobox', 'aria-autocomplete': 'list', 'aria-controls': ID };
    for (const [name, value] of Object.entries(attributes)) input.setAttribute(name, value);
    this.#list.addEventListener('click', ({ target }) => {
      const option = target instanceof Element ? target.closest<HTMLElement>('[role=option]') : null;
      const chosen = option && this.#shown[Number(option.dataset.index)];
      if (chosen) onChoose(chosen);
    });
    // The input keeps the focus.
    this.#list.addEventListener('pointerdown', (event) => event.preventDefault());
    this.hide();
  }

  get isOpen(): boolean {
    return !this.element.hidden;
  }

  /** The suggestion that Enter accepts; null for none. */
  get active(): Suggestion | null {
    return this.#shown[this.#active] ?? null;
  }

  get first(): Suggestion | null {
    return this.#shown[0] ?? null;
  }

  show(suggestions: readonly Suggestion[], options: ListOptions): void {
    const { name, column = 0, active = -1, footer = null } = options;
    this.#shown = suggestions;
    this.#list.setAttribute('aria-label', name);
    const entries = suggestions.map(({ text, detail }, index) => {
      const props = { role: 'option', id: `${ID}-${index}`, 'data-index': index, title: text };
      return h.div(props, h.span(text), detail !== '' && h.small(detail));
    });
    fill(this.#list, ...entries);
    fill(this.element, this.#list, footer);
    this.element.style.setProperty('--column', String(column));
    this.element.style.setProperty('--scrolled', `${this.input.scrollLeft}px`);
    this.element.hidden = suggestions.length === 0;
    this.input.setAttribute('aria-expanded', String(this.isOpen));
    this.#setActive(active);
  }

  hide(): void {
    this.show([], { name: 'suggestions' });
  }

  /** Moves the selection by `by` places, cycling from the last suggestion through none to the first. */
  move(by: number): void {
    const places = this.#shown.length + 1;
    this.#setActive(((this.#active + 1 + by + places) % places) - 1);
  }

  #setActive(index: number): void {
    this.#active = index;
    for (const [at, option] of [...this.#list.children].entries())
      option.setAttribute('aria-selected', String(at === index));
    const option = this.#list.children[index];
    if (option === undefined) this.input.removeAttribute('aria-activedescendant');
    else {
      this.input.setAttribute('aria-activedescendant', option.id);
      option.scrollIntoView({ block: 'nearest' });
    }
  }
}
