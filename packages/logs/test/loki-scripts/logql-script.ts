// Loki's scripts of evaluations (`*.logqltest`). A line that is not indented begins a command, indented lines belong to it:
// `clear`; `load` with lines of logs; `eval` with a query and what it must return.
import type { TimeGrid } from '../../src/logql/series.js';
import { parseDurationS, parseNumber } from '../../src/logql/units.js';
import type { PushedLine } from '../../src/store/pushed-line.js';

export interface ExpectedSeries {
  readonly labels: ReadonlyMap<string, string>;
  /** At the points of the grid; null where there is none. */
  readonly values: readonly (number | null)[];
}

export type Expected =
  | { readonly kind: 'failure' }
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'series'; readonly isOrdered: boolean; readonly series: readonly ExpectedSeries[] };

export interface Evaluation {
  readonly kind: 'eval';
  /** File and line. */
  readonly place: string;
  readonly query: string;
  readonly grid: TimeGrid;
  readonly expected: Expected;
}

export type Command =
  | { readonly kind: 'clear' }
  | { readonly kind: 'load'; readonly lines: readonly PushedLine[]; readonly hasMetadata: boolean }
  | Evaluation;

interface Block {
  readonly place: string;
  readonly head: string;
  readonly body: string[];
}

/** Time 0 of all scripts. */
const START_MS = 1_700_000_000_000;
const LABELS = String.raw`(?<labels>\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})`;
const LABEL = /(\w+)\s*=\s*"((?:[^"\\]|\\.)*)"/g;
const LOGGED = new RegExp(
  String.raw`^${LABELS}\s+(?:"(?<quoted>[^"]*)"|\x60(?<raw>[^\x60]*)\x60)\s+@\s+(?<at>\S+)` +
    String.raw`(?:\s+\[repeat every (?<every>\S+)\s+for (?<times>\d+)\])?(?<metadata>\s+\[metadata [^\]]*\])?$`,
);
const EVALUATION = /^eval (?:instant at (\S+)|range from (\S+) to (\S+) step (\S+)) (.+)$/;
const SERIES = new RegExp(String.raw`^${LABELS}\s+(?<values>.+)$`);
/** In a repeated line, the number of the repetition. */
const INDEX = '{{.i}}';

/** @throws Error with file and line for what is not known */
export function parseScript(file: string, text: string): Command[] {
  const blocks: Block[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = withoutComment(raw);
    if (line === '') continue;
    if (/^\s/.test(line)) blocks.at(-1)?.body.push(line.trim());
    else blocks.push({ place: `${file}:${index + 1}`, head: line, body: [] });
  }
  return blocks.map(parseCommand);
}

function parseCommand(block: Block): Command {
  const { place, head, body } = block;
  if (head === 'clear') return { kind: 'clear' };
  if (head === 'load') {
    const logged = body.map((line) => match(place, LOGGED, line, 'a line to load').groups ?? {});
    return {
      kind: 'load',
      lines: logged.flatMap((groups) => linesOf(place, groups)),
      hasMetadata: logged.some(({ metadata }) => metadata !== undefined),
    };
  }
  const [, at, from, to, step, query] = match(place, EVALUATION, head, 'clear, load or eval');
  const grid = at === undefined ? rangeGrid(place, from!, to!, step!) : rangeGrid(place, at, at, '1ms');
  return { kind: 'eval', place, query: query!, grid, expected: parseExpected(block) };
}

function rangeGrid(place: string, from: string, to: string, step: string): TimeGrid {
  const [fromMs, toMs, stepMs] = [from, to, step].map((text) => parseMs(place, text)) as [
    number,
    number,
    number,
  ];
  return { startMs: START_MS + fromMs, stepMs, numPoints: Math.floor((toMs - fromMs) / stepMs) + 1 };
}

function linesOf(place: string, logged: Readonly<Record<string, string | undefined>>): PushedLine[] {
  const { quoted, raw, at, every = '0s', times = '1' } = logged;
  const labels = Object.fromEntries([...parseLabels(logged.labels!)].filter(([, value]) => value !== ''));
  const firstMs = START_MS + parseMs(place, at!);
  const everyMs = parseMs(place, every);
  return Array.from({ length: Number(times) }, (_, i) => ({
    ns: String(BigInt(Math.round(1e3 * (firstMs + i * everyMs))) * 1_000n),
    labels,
    line: (quoted ?? raw!).replaceAll(INDEX, String(i)),
  }));
}

/** Lines with `skip` are of Loki's own engines. */
function parseExpected({ place, body }: Block): Expected {
  if (body.some((line) => line.startsWith('expect fail'))) return { kind: 'failure' };
  const rows = body.filter((line) => !/^(expect|skip) /.test(line));
  const isOrdered = body.includes('expect ordered');
  if (rows.length === 0 && !body.includes('expect empty')) throw new Error(`${place}: nothing is expected`);
  if (rows.length === 1 && !rows[0]!.startsWith('{'))
    return { kind: 'number', value: parseValue(place, rows[0]!) };
  return { kind: 'series', isOrdered, series: rows.map((row) => parseSeries(place, row)) };
}

function parseSeries(place: string, row: string): ExpectedSeries {
  const { labels, values } = match(place, SERIES, row, 'a series').groups ?? {};
  return {
    labels: parseLabels(labels!),
    values: values!.split(/\s+/).map((text) => (text === '_' ? null : parseValue(place, text))),
  };
}

function parseLabels(text: string): Map<string, string> {
  return new Map([...text.matchAll(LABEL)].map(([, name, value]) => [name!, value!]));
}

function parseMs(place: string, text: string): number {
  const seconds = parseDurationS(text);
  if (Number.isNaN(seconds)) throw new Error(`${place}: ${text}: expected a duration`);
  return 1e3 * seconds;
}

function parseValue(place: string, text: string): number {
  const value = parseNumber(text);
  if (value === null) throw new Error(`${place}: ${text}: expected a number`);
  return value;
}

function match(place: string, pattern: RegExp, text: string, what: string): RegExpExecArray {
  const groups = pattern.exec(text);
  if (groups === null) throw new Error(`${place}: ${text}: expected ${what}`);
  return groups;
}

/** A `#` within quotes begins none. */
function withoutComment(line: string): string {
  return line.replace(/("(?:[^"\\]|\\.)*"|`[^`]*`)|#.*/g, '$1').trimEnd();
}
