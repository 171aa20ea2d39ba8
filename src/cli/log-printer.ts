import { type LogRecord, type MatrixJson, parseRecord, type ResultLine } from '@locmoe/logs';
import { LOG_LEVELS, type LogLevel } from '@locmoe/logs/levels';
import { prettyFactory } from 'pino-pretty';
import { formatTable, printable, wrapped } from '../format.js';

export interface LogPrinterOptions {
  readonly json: boolean;
  readonly colors: boolean;
  /** Current time; the date is printed for lines of any other day. */
  readonly nowMs: number;
  /** Marks matches, because lines around them are printed too. */
  readonly marksMatches: boolean;
  /** Returns the width of the terminal, at which lines are wrapped between words; Infinity elsewhere. */
  readonly columns: () => number;
}

/** Width of the longest writer's name with two digits for node and rank. */
const LANE_WIDTH = 15;
/** A wrapped line continues to the right of its time. */
const TIME_WIDTH = '[00:00:00.000] '.length;
const RESET = '\x1b[0m';
const DIM = '\x1b[2m';
/** ANSI colours: cyan, green, magenta, blue, yellow, and their bright variants; red is reserved for errors. */
const LANE_COLORS = [36, 32, 35, 34, 33, 96, 92, 95, 94, 93];
const BARS = '▁▂▃▄▅▆▇█';
/** Greatest width that leaves room for names and numbers in a terminal of 80 columns. */
const MAX_BARS = 30;

/** Formats log lines for a terminal: time, level, a lane that names the writer, step, message. */
export class LogPrinter {
  readonly #pretty: (record: object) => string;
  #group = 0;
  #day: string;

  constructor(private readonly options: LogPrinterOptions) {
    this.#day = dayOf(options.nowMs);
    this.#pretty = prettyFactory({
      colorize: options.colors,
      translateTime: 'SYS:HH:MM:ss.l',
      // A template string would drop the lane's colour.
      messageFormat: ({ lane, msg }) => `${lane}${msg}`,
      ignore: 'pid,hostname,run,generation,node,rank,step,lane,stack,failure,context',
      singleLine: true,
    });
  }

  /**
   * Formats a line with its newline; before it come the date on a new day, and a separator if the line does
   * not follow the last one in its source.
   */
  format(line: ResultLine): string {
    if (this.options.json) return `${line.text}\n`;
    const isApart = line.group !== 0 && this.#group !== 0 && line.group !== this.#group;
    this.#group = line.group;
    return (isApart ? '--\n' : '') + this.#newDay(line) + this.#line(line);
  }

  #newDay({ timeMs }: ResultLine): string {
    const day = dayOf(timeMs);
    if (day === this.#day) return '';
    this.#day = day;
    return this.options.colors ? `${DIM}${day}${RESET}\n` : `${day}\n`;
  }

  #line(line: ResultLine): string {
    const record = recordOf(line);
    const step = record.step === undefined ? '' : `step ${record.step}: `;
    const pretty = this.#pretty({
      ...record,
      msg: printable(record.msg),
      lane: `${this.#lane(line)} ${step}`,
    });
    const { marksMatches, colors, columns } = this.options;
    const mark = marksMatches ? (line.isContext ? '  ' : '> ') : '';
    const indent = ' '.repeat(mark.length + TIME_WIDTH);
    const text = `${mark}${pretty.replace(/\n$/, '')}`
      .split('\n')
      .map((each) => wrapped(each, indent, columns()))
      .join('\n');
    return line.isContext && colors ? `${DIM}${text}${RESET}\n` : `${text}\n`;
  }

  #lane({ labels }: ResultLine): string {
    const { node, rank, source = '' } = labels;
    const name =
      source === 'coordinator' || node === undefined
        ? source || 'line'
        : `node ${node}${rank === undefined ? '' : ` rank ${rank}`}`;
    const padded = printable(name).padEnd(LANE_WIDTH);
    if (!this.options.colors) return padded;
    const color = LANE_COLORS[Number(rank ?? node ?? 0) % LANE_COLORS.length] ?? LANE_COLORS[0];
    return `\x1b[${source === 'coordinator' ? 1 : color}m${padded}${RESET}`;
  }

  /** Formats the series of a metric query: last, mean and largest value, and a sparkline. */
  formatMatrix(matrix: readonly MatrixJson[]): string {
    if (this.options.json) return `${JSON.stringify(matrix)}\n`;
    if (matrix.length === 0) return 'no values\n';
    const rows = matrix.map(({ metric, values }) => {
      const numbers = values.map(([, value]) => Number(value));
      const mean = numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
      return [
        nameOf(metric),
        ...[numbers.at(-1)!, mean, Math.max(...numbers)].map(formatNumber),
        sparkline(numbers),
      ];
    });
    return `${formatTable([['', 'last', 'mean', 'max', 'course'], ...rows], { indent: '', textColumns: [4] })}\n`;
  }
}

/** Returns a function that prints lines of a node's log: formatted for a person at a terminal, unchanged elsewhere. */
export function nodeOutput(
  stdout: Pick<NodeJS.WriteStream, 'isTTY' | 'columns'> & { write(text: string): void },
): (text: string) => void {
  const printer = new LogPrinter({
    json: !stdout.isTTY,
    colors: !process.env.NO_COLOR,
    nowMs: Date.now(),
    marksMatches: false,
    columns: () => stdout.columns || Number.POSITIVE_INFINITY,
  });
  return (text) => {
    const { node, rank, time: timeMs = Date.now() } = parseRecord(text) ?? {};
    const labels = {
      source: 'node',
      ...(node !== undefined && { node: String(node) }),
      ...(rank !== undefined && { rank: String(rank) }),
    };
    stdout.write(printer.format({ text, labels, timeMs, isContext: false, group: 0 }));
  };
}

/** Parses a JSON line to its record, or makes a record of the line's text and labels. */
function recordOf({ text, labels, timeMs }: ResultLine): LogRecord {
  const record = parseRecord(text);
  if (record !== null) return record;
  const level = LOG_LEVELS.find((known) => known === labels.level) ?? ('info' satisfies LogLevel);
  return { time: timeMs, level, msg: text };
}

/** Formats the day as `2026-01-31 UTC+01:00`, by this machine's clock. */
function dayOf(timeMs: number): string {
  const minutes = -new Date(timeMs).getTimezoneOffset();
  const local = new Date(timeMs + 60_000 * minutes).toISOString().slice(0, 10);
  const offset = new Date(60_000 * Math.abs(minutes)).toISOString().slice(11, 16);
  return `${local} UTC${minutes < 0 ? '-' : '+'}${offset}`;
}

function nameOf(metric: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(metric).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return `{${pairs.join(', ')}}`;
}

function formatNumber(value: number): string {
  return Number.isInteger(value) ? value.toLocaleString('en-US') : value.toPrecision(4);
}

/** Draws a bar for each number or, if there are too many, for the largest of several consecutive ones. */
function sparkline(all: readonly number[]): string {
  const perBar = Math.ceil(all.length / MAX_BARS);
  const numbers = Array.from({ length: Math.ceil(all.length / perBar) }, (_, bar) =>
    Math.max(...all.slice(bar * perBar, (bar + 1) * perBar)),
  );
  const least = Math.min(0, ...numbers);
  const span = Math.max(...numbers) - least;
  const bar = (value: number) =>
    BARS[span > 0 ? Math.min(BARS.length - 1, Math.floor(((value - least) / span) * BARS.length)) : 0] ?? ' ';
  return numbers.map(bar).join('');
}
