import { button, type Child, fill, h, icon } from '../dom.js';
import { formatClock, formatDate, timeZone } from '../format.js';
import type { PageState } from '../page-state.js';
import { seriesColor } from '../theme.js';
import { signatureOf } from './dedup.js';
import { abridged, extrasOf, fieldOf, keyOf, type LogLine, originOf, stepOf } from './log-line.js';
import { marked } from './query-edit.js';

export interface ListStyle extends Pick<PageState, 'order' | 'wrap' | 'dedup' | 'columns'> {
  readonly highlight: RegExp | null;
}

/** One line, or consecutive lines that dedup merges. */
interface Row {
  readonly line: LogLine;
  count: number;
  readonly element: HTMLElement;
}

const MAX_LANES = 16;

/** The table of lines; a click on a row opens its details. */
export class LineList {
  readonly element = h.div({ class: 'lines', role: 'treegrid', 'aria-label': 'log lines' });
  readonly #head = h.div({ class: 'line-head', role: 'row' });
  readonly #body = h.div({ class: 'line-body', role: 'rowgroup' });
  #rows: Row[] = [];
  #lines: LogLine[] = [];
  #keys = new Set<string>();
  #numLanes = 0;
  #style: ListStyle = { order: 'newest', wrap: true, dedup: 'none', columns: [], highlight: null };
  #open: { readonly row: Row; readonly details: HTMLElement } | null = null;

  /**
   * @param detailsOf makes what is shown below an open row
   * @param onHideColumn called with the name of a column to hide
   */
  constructor(
    private readonly detailsOf: (line: LogLine) => HTMLElement,
    private readonly onHideColumn: (name: string) => void,
  ) {
    this.element.append(this.#head, this.#body);
    this.#body.addEventListener('click', (event) => {
      const row = this.#rowOf(event.target);
      // The click may be the end of a text selection.
      if (row !== undefined && getSelection()?.isCollapsed !== false) this.toggle(row);
    });
    this.#body.addEventListener('keydown', (event) => this.#onKey(event));
  }

  /** Lines in time order. */
  get lines(): readonly LogLine[] {
    return this.#lines;
  }

  get numRows(): number {
    return this.#rows.length;
  }

  set(lines: readonly LogLine[], style: ListStyle): void {
    this.#style = style;
    this.#lines = [];
    this.#keys = new Set();
    this.#rows = [];
    this.#open = null;
    this.#body.replaceChildren();
    this.element.classList.toggle('wrapped', style.wrap);
    this.element.style.setProperty('--columns', style.columns.map((name) => widthOf(name, lines)).join(' '));
    this.#showHead();
    this.add(lines);
  }

  /** Prepends or appends a page of lines, keeping time order. */
  add(lines: readonly LogLine[], { isNew = false, maxRows = Number.POSITIVE_INFINITY } = {}): void {
    const added = lines.filter((line) => !this.#keys.has(keyOf(line)));
    if (added.length === 0) return;
    for (const line of added) this.#keys.add(keyOf(line));
    const sorted = added.toSorted((a, b) => compareNs(a.ns, b.ns));
    const areLater = this.#lines.length === 0 || compareNs(sorted[0]!.ns, this.#lines[0]!.ns) >= 0;
    this.#lines = areLater ? [...this.#lines, ...sorted] : [...sorted, ...this.#lines];
    this.#showLanes(added);
    const isOldestFirst = this.#style.order === 'oldest';
    const inOrder = isOldestFirst ? sorted : sorted.toReversed();
    if (areLater === isOldestFirst) this.#append(inOrder, isNew);
    else this.#prepend(inOrder, isNew);
    if (this.#rows.length > maxRows) this.#dropOldest(this.#rows.length - maxRows);
  }

  /** Opens and scrolls to the line of a time; false if it is not in the list. */
  openAt(ns: string): boolean {
    const row = this.#rows.find(({ line }) => line.ns === ns);
    if (row === undefined) return false;
    if (this.#open?.row !== row) this.toggle(row);
    row.element.scrollIntoView({ block: 'center' });
    row.element.classList.add('is-target');
    return true;
  }

  toggle(row: Row): void {
    const isOpen = this.#open?.row === row;
    this.#open?.details.remove();
    this.#open?.row.element.setAttribute('aria-expanded', 'false');
    this.#open = null;
    if (isOpen) return;
    const cell = h.div({ role: 'gridcell' }, this.detailsOf(row.line));
    const details = h.div({ role: 'row' }, cell);
    row.element.after(details);
    row.element.setAttribute('aria-expanded', 'true');
    this.#open = { row, details };
  }

  move(by: number): void {
    const focused = this.#rowOf(document.activeElement);
    const index = focused === undefined ? (by > 0 ? -1 : this.#rows.length) : this.#rows.indexOf(focused);
    this.#rows[Math.max(0, Math.min(this.#rows.length - 1, index + by))]?.element.focus();
  }

  #append(lines: readonly LogLine[], isNew: boolean): void {
    const fragment = document.createDocumentFragment();
    for (const line of lines) {
      if (this.#merges(this.#rows.at(-1), line)) continue;
      const row = this.#row(line, isNew);
      this.#rows.push(row);
      fragment.append(row.element);
    }
    this.#body.append(fragment);
  }

  #prepend(lines: readonly LogLine[], isNew: boolean): void {
    const added: Row[] = [];
    // Rows are added from the first one upwards, so that dedup can merge into it.
    for (const line of lines.toReversed()) {
      if (this.#merges(added.at(-1) ?? this.#rows[0], line)) continue;
      added.push(this.#row(line, isNew));
    }
    added.reverse();
    this.#rows = [...added, ...this.#rows];
    this.#body.prepend(...added.map(({ element }) => element));
  }

  /** Counts the line in the row if dedup merges them. */
  #merges(row: Row | undefined, line: LogLine): boolean {
    if (row === undefined) return false;
    const signature = signatureOf(line, this.#style.dedup);
    if (signature === null || signature !== signatureOf(row.line, this.#style.dedup)) return false;
    row.count++;
    const badge = row.element.querySelector('.count');
    if (badge !== null) badge.textContent = `×${row.count}`;
    return true;
  }

  #dropOldest(surplus: number): void {
    const isOldestFirst = this.#style.order === 'oldest';
    const dropped = isOldestFirst ? this.#rows.splice(0, surplus) : this.#rows.splice(-surplus);
    for (const row of dropped) {
      if (this.#open?.row === row) this.toggle(row);
      row.element.remove();
    }
    const numLines = dropped.reduce((sum, { count }) => sum + count, 0);
    for (const line of this.#lines.slice(0, numLines)) this.#keys.delete(keyOf(line));
    this.#lines = this.#lines.slice(numLines);
  }

  #row(line: LogLine, isNew: boolean): Row {
    const { columns, highlight } = this.#style;
    const rank = rankOf(line);
    const lane = { '--lane': String((rank ?? 0) % MAX_LANES), '--color': seriesColor(rank ?? 0) };
    const extras = extrasOf(line);
    const cell = (name: string, ...content: readonly Child[]) =>
      h.span({ class: name, role: 'cell' }, ...content);
    const element = h.div(
      {
        class: `row level-${line.level}${isNew ? ' is-new' : ''}`,
        role: 'row',
        tabindex: '-1',
        'aria-expanded': 'false',
      },
      cell('bar'),
      h.time({ role: 'cell', title: formatDate(line.timeMs) }, formatClock(line.timeMs)),
      cell('level-name', line.level === 'unknown' ? '' : line.level),
      cell('lane', h.i({ class: 'lane-dot', hidden: rank === null, style: rank === null ? {} : lane })),
      cell('origin', originOf(line)),
      cell('step', stepOf(line)),
      ...columns.map((name) => cell('column', abridged(fieldOf(line, name) ?? ''))),
      cell(
        'message',
        ...piecesOf(line.message, highlight),
        // The row may wrap before the extras.
        extras !== '' && ' ',
        extras !== '' && h.span({ class: 'extras' }, ...piecesOf(extras, highlight)),
      ),
      cell('count'),
    );
    return { line, count: 1, element };
  }

  #showLanes(lines: readonly LogLine[]): void {
    const most = Math.max(this.#numLanes, ...lines.map((line) => (rankOf(line) ?? -1) + 1));
    if (most === this.#numLanes) return;
    this.#numLanes = most;
    this.element.style.setProperty('--num-lanes', String(Math.min(MAX_LANES, most)));
  }

  #showHead(): void {
    const cell = (text: string) => h.span({ role: 'columnheader' }, text);
    fill(
      this.#head,
      ...['', `time (${timeZone()})`, 'level', '', 'from', 'step'].map(cell),
      ...this.#style.columns.map((name) =>
        h.span(
          { role: 'columnheader', class: 'column' },
          name,
          button(icon('clear'), () => this.onHideColumn(name), {
            label: `hide column ${name}`,
            class: 'bare',
          }),
        ),
      ),
      cell('message'),
      cell(''),
    );
  }

  #onKey(event: KeyboardEvent): void {
    const row = this.#rowOf(event.target);
    if (row === undefined || event.target !== row.element) return;
    if (event.key === 'Enter' || event.key === ' ') this.toggle(row);
    else if (event.key === 'ArrowDown') this.move(1);
    else if (event.key === 'ArrowUp') this.move(-1);
    else return;
    event.preventDefault();
  }

  #rowOf(target: EventTarget | null): Row | undefined {
    const element = target instanceof Element ? target.closest('.row') : null;
    return element === null ? undefined : this.#rows.find((row) => row.element === element);
  }
}

function rankOf({ labels, fields }: LogLine): number | null {
  const rank = Number(labels.rank || (fields.rank ?? Number.NaN));
  return Number.isInteger(rank) ? rank : null;
}

/** Returns the width of a column, as wide as its values need, within limits. */
function widthOf(name: string, lines: readonly LogLine[]): string {
  const longest = lines.reduce((most, line) => Math.max(most, abridged(fieldOf(line, name) ?? '').length), 0);
  return `clamp(110px, ${longest}ch, 24vw)`;
}

function piecesOf(text: string, highlight: RegExp | null): (Node | string)[] {
  return marked(text, highlight).map((piece) => (piece.isMatch ? h.mark(piece.text) : piece.text));
}

function compareNs(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}
