import { button, fill, h, numberCell, table } from '../dom.js';
import { formatCount, formatShare } from '../format.js';
import { levelOf } from '../levels.js';
import { fetchPatterns, type LokiPattern } from '../loki.js';
import { drawing } from '../svg.js';
import { type LogRequest, type PatternRequest, patternRequest } from './log-requests.js';
import { type PatternUse, patternUse } from './pattern-edit.js';

/** The counted patterns, and the request that they answer. */
interface PatternCounts {
  /** The request; null before the first one. */
  readonly request: PatternRequest | null;
  readonly patterns: readonly LokiPattern[];
}

const NONE: PatternCounts = { request: null, patterns: [] };

/** The size of a sparkline, in its own units. */
const [WIDTH, HEIGHT] = [120, 20];
const VARIABLE = '<_>';

/** The patterns of the log, with the lines that match over time. Buttons filter the query by a pattern. */
export class PatternsView {
  readonly element = h.div({ class: 'patterns' });
  #counts = NONE;

  /** @param onUse called with how the query is to use a pattern from now on; null for not at all */
  constructor(private readonly onUse: (pattern: string, use: PatternUse | null) => void) {}

  /** Shows the patterns of a query's selector; returns a summary of a few words. @throws RequestError */
  async load(request: LogRequest, signal: AbortSignal): Promise<string> {
    const wanted = patternRequest(request);
    // If only the filter has changed, the lines are counted already.
    if (JSON.stringify(wanted) !== JSON.stringify(this.#counts.request)) {
      this.element.setAttribute('aria-busy', 'true');
      const { selector, stepMs, range } = wanted;
      const labels = { selector, start: range[0], end: range[1] };
      this.#counts = { request: wanted, patterns: await fetchPatterns(labels, stepMs, signal) };
    }
    this.element.setAttribute('aria-busy', 'false');
    this.#show(request.query);
    const { patterns } = this.#counts;
    if (patterns.length === 0) return 'No lines. Try a longer time range, or another selector.';
    const numLines = formatCount(numLinesOf(patterns));
    return `${formatCount(patterns.length)} patterns in ${numLines} lines of the selector`;
  }

  clear(): void {
    this.element.setAttribute('aria-busy', 'false');
    this.#counts = NONE;
    this.#show('');
  }

  #show(query: string): void {
    const { patterns } = this.#counts;
    const numLines = numLinesOf(patterns);
    const head = ['level', 'lines', 'share', 'over time', 'pattern', h.td()];
    const rows = patterns.map((each, index) => this.#row(each, index, numLines, query));
    fill(this.element, rows.length > 0 && table(head, rows));
  }

  #row(found: LokiPattern, index: number, numLines: number, query: string): HTMLElement {
    const { pattern, level } = found;
    const used = patternUse(query, pattern);
    const text = readable(pattern);
    const toggle = (use: PatternUse, name: string) =>
      button(name, () => this.onUse(pattern, used === use ? null : use), {
        'aria-pressed': String(used === use),
        'aria-label': `${name} lines like: ${text}`,
        'data-use': `${use}-${index}`,
      });
    const count = countOf(found);
    return h.tr(
      { class: `level-${levelOf(level)}${used === null ? '' : ` is-${used}d`}` },
      h.td({ class: 'level-name' }, level),
      numberCell(formatCount(count)),
      numberCell(formatShare(count / numLines)),
      h.td(this.#counts.request && sparkline(found.samples, this.#counts.request)),
      h.th({ scope: 'row', class: 'pattern' }, h.div({ title: text }, ...piecesOf(text))),
      h.td(toggle('include', 'Include'), ' ', toggle('exclude', 'Exclude')),
    );
  }
}

function numLinesOf(patterns: readonly LokiPattern[]): number {
  return patterns.reduce((sum, each) => sum + countOf(each), 0);
}

function countOf({ samples }: LokiPattern): number {
  return samples.reduce((sum, [, count]) => sum + count, 0);
}

/** Returns only the message of a pattern of JSON lines. */
function readable(pattern: string): string {
  const message = /^<_>"(?:msg|message)":(".*")<_>$/s.exec(pattern)?.[1];
  if (message === undefined) return pattern;
  try {
    return JSON.parse(message);
  } catch {
    return message.slice(1, -1);
  }
}

function piecesOf(text: string): (Node | string)[] {
  return text
    .split(/(<_>)/)
    .map((piece) => (piece === VARIABLE ? h.span({ class: 'variable' }, VARIABLE) : piece));
}

/** Draws a bar for each step with lines. */
function sparkline(
  samples: LokiPattern['samples'],
  { range: [start, end], stepMs }: PatternRequest,
): SVGElement {
  const most = Math.max(1, ...samples.map(([, count]) => count));
  const width = Math.max(1, (WIDTH * stepMs) / (end - start));
  const bars = samples.flatMap(([seconds, count]) => {
    if (count === 0) return [];
    const x = (WIDTH * (1e3 * seconds - start)) / (end - start) + width / 2;
    // A minimum height keeps rare lines visible.
    return [`M${x.toFixed(1)} ${HEIGHT}v-${Math.max(2, (HEIGHT * count) / most).toFixed(1)}`];
  });
  const path = { d: bars.join(''), 'stroke-width': width.toFixed(2) };
  return drawing({ class: 'sparkline', viewBox: `0 0 ${WIDTH} ${HEIGHT}` }, path);
}
