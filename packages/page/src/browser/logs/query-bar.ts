import { button, fill, h } from '../dom.js';
import { errorColumn } from './query-edit.js';

/** The query input. Enter runs the query; an error is shown below it with its position marked. */
export class QueryBar {
  readonly element: HTMLElement;
  readonly #input = h('input', {
    type: 'text',
    class: 'query',
    'aria-label': 'LogQL query',
    placeholder: '{run="..."} |= "text"',
    spellcheck: 'false',
    autocomplete: 'off',
    autocapitalize: 'off',
  });
  readonly #error = h('div', { class: 'query-error', role: 'alert' });

  constructor(readonly onQuery: (query: string) => void) {
    const submit = () => onQuery(this.#input.value.trim());
    this.#input.addEventListener('keydown', (event) => {
      if (event.key === 'Enter') submit();
      else if (event.key === 'Escape') this.#input.blur();
    });
    this.element = h(
      'div',
      { class: 'query-bar' },
      h('div', { class: 'query-line' }, this.#input, button('Run', submit, { class: 'primary' })),
      this.#error,
    );
    this.#error.hidden = true;
  }

  focus(): void {
    this.#input.focus();
    this.#input.select();
  }

  show(query: string): void {
    this.#input.value = query;
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
        : h(
            'code',
            { class: 'error-place' },
            query.slice(0, column),
            h('mark', {}, query.slice(column, column + 1) || ' '),
            query.slice(column + 1),
          );
    fill(this.#error, h('p', {}, message), shown);
    if (column !== null && document.activeElement === this.#input)
      this.#input.setSelectionRange(column, column + 1);
  }
}
