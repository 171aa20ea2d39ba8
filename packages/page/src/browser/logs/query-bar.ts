import { button, fill, h, icon } from '../dom.js';
import { completionPlace } from './completion-place.js';
import type { CompletionSource } from './completion-source.js';
import { errorColumn } from './query-edit.js';
import { forgetQueries, pastQueries, rememberQuery } from './query-history.js';
import { type Suggestion, SuggestionList } from './suggestion-list.js';

/** Suggestions are requested once typing has paused for this long. */
const DEBOUNCE_MS = 120;

export interface QueryBarOptions {
  readonly completions: CompletionSource;
  readonly runId: () => string;
  readonly onQuery: (query: string) => void;
}

/**
 * The query input: Enter runs the query, continuations are suggested while typing, and Arrow Up shows earlier
 * queries. An error is shown below it with its position marked.
 */
export class QueryBar {
  readonly element: HTMLElement;
  readonly #input = h.input({
    type: 'text',
    class: 'query',
    'aria-label': 'LogQL query',
    placeholder: '{run="..."} |= "text"',
    spellcheck: 'false',
    autocomplete: 'off',
    autocapitalize: 'off',
  });
  readonly #error = h.div({ class: 'query-error', role: 'alert' });
  readonly #list = new SuggestionList(this.#input, (suggestion) => this.#take(suggestion));
  /** The range of the query that a suggestion replaces. */
  #span: readonly [number, number] = [0, 0];
  #isHistory = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Counts requests for suggestions: only the answer to the last one is used. */
  #asked = 0;

  constructor(private readonly options: QueryBarOptions) {
    this.#input.addEventListener('keydown', (event) => this.#onKey(event));
    this.#input.addEventListener('input', () => this.#suggestSoon());
    const run = button('Run', () => this.#submit(), { class: 'primary' });
    const past = button(icon('history'), () => this.#showHistory(), { label: 'queries before this one' });
    const line = h.div({ class: 'query-line' }, this.#input, this.#list.element, past, run);
    line.addEventListener('focusout', ({ relatedTarget }) => {
      if (!(relatedTarget instanceof Node && line.contains(relatedTarget))) this.#close();
    });
    line.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !this.#list.isOpen) return;
      this.#close();
      this.#input.focus();
      event.stopPropagation();
    });
    this.element = h.div({ class: 'query-bar' }, line, this.#error);
    this.#error.hidden = true;
  }

  focus(): void {
    this.#input.focus();
    this.#input.select();
  }

  show(query: string): void {
    // Setting the same text again would move the cursor.
    if (this.#input.value !== query) this.#input.value = query;
  }

  #submit(): void {
    this.#close();
    const query = this.#input.value.trim();
    rememberQuery(query, this.options.runId());
    this.options.onQuery(query);
  }

  #onKey(event: KeyboardEvent): void {
    const { key, ctrlKey } = event;
    const isOpen = this.#list.isOpen;
    if (key === 'Enter') {
      const { active } = this.#list;
      if (isOpen && active !== null) this.#take(active);
      else this.#submit();
    } else if (key === 'Escape') {
      // The keydown handler of the query line closes the list.
      if (isOpen) return;
      this.#input.blur();
    } else if (key === 'Tab' && !event.shiftKey && isOpen && !this.#isHistory) {
      const suggestion = this.#list.active ?? this.#list.first;
      if (suggestion !== null) this.#take(suggestion);
    } else if ((key === 'ArrowDown' || key === 'ArrowUp') && isOpen)
      this.#list.move(key === 'ArrowDown' ? 1 : -1);
    else if (key === 'ArrowUp') this.#showHistory();
    else if (key === 'ArrowDown' || (key === ' ' && ctrlKey)) void this.#suggest();
    else {
      // The suggestions do not fit another place of the query.
      if (isOpen && /^(?:Arrow(?:Left|Right)|Home|End)$/.test(key)) this.#close();
      return;
    }
    event.preventDefault();
  }

  #suggestSoon(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#suggest(), DEBOUNCE_MS);
  }

  async #suggest(): Promise<void> {
    clearTimeout(this.#timer);
    const asked = ++this.#asked;
    const { value, selectionStart } = this.#input;
    const place = completionPlace(value, selectionStart ?? value.length);
    // Suggestions are optional, so a failed request is not shown as an error.
    const suggestions =
      place === null ? [] : await this.options.completions.suggestionsFor(place, value).catch(() => []);
    if (asked !== this.#asked || document.activeElement !== this.#input) return;
    if (place === null || suggestions.every(({ insert }) => insert === value.slice(place.from, place.to))) {
      this.#close();
      return;
    }
    this.#span = [place.from, place.to];
    this.#isHistory = false;
    this.#list.show(suggestions, { name: 'suggestions', column: place.from });
  }

  #showHistory(): void {
    const past = pastQueries(this.options.runId());
    this.#asked++;
    this.#input.focus();
    if (past.length === 0) {
      this.#close();
      return;
    }
    this.#span = [0, this.#input.value.length];
    this.#isHistory = true;
    const clear = button('Clear history', () => {
      forgetQueries();
      this.#close();
      this.#input.focus();
    });
    this.#list.show(
      past.map((query) => ({ text: query, insert: query, detail: '' })),
      { name: 'queries before this one', active: 0, footer: clear },
    );
  }

  #take({ insert, caret = 0 }: Suggestion): void {
    const [from, end] = this.#span;
    // The user may have typed more since the suggestion was made.
    const to = Math.max(end, this.#input.selectionStart ?? end);
    const isHistory = this.#isHistory;
    this.#close();
    this.#input.setRangeText(insert, from, to, 'end');
    const at = from + insert.length - caret;
    this.#input.setSelectionRange(at, at);
    // Focusing again makes the browser scroll a long query to the cursor.
    this.#input.blur();
    this.#input.focus();
    if (!isHistory) void this.#suggest();
  }

  #close(): void {
    clearTimeout(this.#timer);
    this.#asked++;
    this.#list.hide();
  }

  showError(message: string | null): void {
    this.#error.hidden = message === null;
    this.#input.setAttribute('aria-invalid', String(message !== null));
    if (message === null) return;
    const query = this.#input.value;
    const column = errorColumn(message, query);
    const shown =
      column === null
        ? null
        : h.code(
            { class: 'error-place' },
            query.slice(0, column),
            h.mark(query.slice(column, column + 1) || ' '),
            query.slice(column + 1),
          );
    fill(this.#error, h.p(message), shown);
    if (column !== null && document.activeElement === this.#input)
      this.#input.setSelectionRange(column, column + 1);
  }
}
