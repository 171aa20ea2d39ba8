import { problemOf } from '../api.js';
import { button, fill, h } from '../dom.js';
import { formatClock } from '../format.js';
import { quoted } from '../loki.js';
import { extrasOf, keyOf, type LogLine, queryLines, stepOf } from './log-line.js';

const LINES_AT_ONCE = 10;
/** Span of Grafana's log context. */
const SPAN_NS = 2n * 3600n * 1_000_000_000n;
/** Labels that vary between lines of one process. */
const VARYING = ['level', 'generation', 'detected_level'];
/** Labels that vary in lines of the coordinator, where node and rank are the subject. */
const VARYING_OF_COORDINATOR = [...VARYING, 'node', 'rank'];

/** The lines around a line from the same process, with buttons to load more on either side. */
export class LineContext {
  readonly element: HTMLElement;
  readonly #before = h.div({ class: 'context-lines' });
  readonly #after = h.div({ class: 'context-lines' });
  readonly #error = h.p({ class: 'error', role: 'alert' });
  #oldest: LogLine;
  #newest: LogLine;
  readonly #keys: Set<string>;
  readonly #selector: string;

  constructor(line: LogLine) {
    this.#oldest = line;
    this.#newest = line;
    this.#keys = new Set([keyOf(line)]);
    const varying = line.labels.source === 'coordinator' ? VARYING_OF_COORDINATOR : VARYING;
    const matchers = Object.entries(line.labels).filter(([name]) => !varying.includes(name));
    this.#selector = `{${matchers.map(([name, value]) => `${name}=${quoted(value)}`).join(', ')}}`;
    this.element = h.div(
      { class: 'context', 'aria-label': 'context of the line' },
      button(`${LINES_AT_ONCE} more before`, () => void this.#load('backward')),
      this.#before,
      h.div({ class: 'context-lines' }, contextLine(line, true)),
      this.#after,
      button(`${LINES_AT_ONCE} more after`, () => void this.#load('forward')),
      this.#error,
    );
  }

  async load(): Promise<void> {
    await Promise.all([this.#load('backward'), this.#load('forward')]);
  }

  async #load(direction: 'forward' | 'backward'): Promise<void> {
    const isBefore = direction === 'backward';
    const place = isBefore ? this.#before : this.#after;
    try {
      const lines = await this.#fetch(direction);
      const rows = lines.map((line) => contextLine(line, false));
      if (rows.length === 0 && place.dataset.ended === undefined) {
        place.dataset.ended = '';
        rows.push(h.p({ class: 'end' }, isBefore ? 'nothing before' : 'nothing after'));
      }
      if (isBefore) place.prepend(...rows);
      else place.append(...rows);
      fill(this.#error);
    } catch (error) {
      fill(this.#error, problemOf(error));
    }
  }

  /** Fetches the lines on one side, oldest first. */
  async #fetch(direction: 'forward' | 'backward'): Promise<LogLine[]> {
    const [oldest, newest] = [BigInt(this.#oldest.ns), BigInt(this.#newest.ns)];
    const isBefore = direction === 'backward';
    const found = await queryLines({
      query: this.#selector,
      start: isBefore ? oldest - SPAN_NS : newest,
      end: isBefore ? oldest : newest + SPAN_NS,
      // The range includes the newest line itself.
      limit: LINES_AT_ONCE + (isBefore ? 0 : 1),
      direction,
    });
    const lines = found.filter((line) => !this.#keys.has(keyOf(line))).sort((a, b) => a.timeMs - b.timeMs);
    for (const line of lines) this.#keys.add(keyOf(line));
    if (isBefore) this.#oldest = lines[0] ?? this.#oldest;
    else this.#newest = lines.at(-1) ?? this.#newest;
    return lines;
  }
}

function contextLine(line: LogLine, isItself: boolean): HTMLElement {
  const { timeMs, level, message } = line;
  return h.div(
    { class: `context-line level-${level}${isItself ? ' is-itself' : ''}` },
    h.span({ class: 'bar' }),
    h.time(formatClock(timeMs)),
    h.span({ class: 'level-name' }, level === 'unknown' ? '' : level),
    h.span({ class: 'step' }, stepOf(line)),
    h.span({ class: 'message' }, message, ' ', h.span({ class: 'extras' }, extrasOf(line))),
  );
}
