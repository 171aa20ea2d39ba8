import type { Context } from 'hono';
import { LogsError } from '../errors.js';
import type { Matcher } from '../logql/ast.js';
import type { Direction } from '../logql/log-entries.js';
import { parseQuery } from '../logql/parse.js';
import type { TimeGrid } from '../logql/series.js';
import { parseDurationS } from '../logql/units.js';
import { type Instant, instantOfNs, type TimeRange } from '../store/instant.js';

const DEFAULT_LIMIT = 100;
export const MAX_LIMIT = 5_000;
const DEFAULT_SINCE_S = 3600;
const MAX_FORM_BYTES = 1 << 16;
const MAX_STEPS = 11_000;
const NS_PER_S = 1e9;
/** The largest int64, the type in which clients hold times. */
const MAX_NS = 2n ** 63n - 1n;

/** Parameters of a request, from its query string and, for POST, its form. */
export class Parameters {
  constructor(private readonly values: URLSearchParams) {}

  static async of(c: Context): Promise<Parameters> {
    const values = new URL(c.req.url).searchParams;
    if (c.req.method === 'POST') {
      const form = await readBody(c, MAX_FORM_BYTES);
      for (const [name, value] of new URLSearchParams(form.toString())) values.append(name, value);
    }
    return new Parameters(values);
  }

  get(name: string): string | undefined {
    return this.values.get(name) || undefined;
  }

  /** Returns repeated parameters; `match[]` (Grafana) is the same as `match` (logcli). */
  all(name: string): string[] {
    return [...this.values.getAll(name), ...this.values.getAll(`${name}[]`)];
  }

  /** @throws LogsError `BAD_INPUT` if it is missing */
  get query(): string {
    const query = this.get('query');
    if (query === undefined) throw invalid('parse error : syntax error: unexpected $end');
    return query;
  }

  get limit(): number {
    return this.wholeNumber('limit', DEFAULT_LIMIT, MAX_LIMIT);
  }

  wholeNumber(name: string, byDefault: number, most: number): number {
    const text = this.get(name);
    if (text === undefined) return byDefault;
    const value = /^\+?\d+$/.test(text) ? Number(text) : 0;
    if (value === 0) throw invalid(`${name} must be a positive value`);
    if (value > most)
      throw invalid(
        `max entries limit per query exceeded, limit > max_entries_limit_per_query (${value} > ${most})`,
      );
    return value;
  }

  get direction(): Direction {
    const text = (this.get('direction') ?? 'backward').toLowerCase();
    if (text !== 'forward' && text !== 'backward') throw invalid(`invalid direction '${text.slice(0, 100)}'`);
    return text;
  }

  get time(): Instant {
    return instantOfNs(this.#ns('time') ?? nowNs());
  }

  /** The range from `start` to `end`; by default the last hour (or `since`). */
  get range(): TimeRange {
    const now = nowNs();
    const end = this.#ns('end') ?? now;
    const sinceS = this.#durationS('since') ?? DEFAULT_SINCE_S;
    let before = now;
    if (end < now) before = end;
    const start = this.#ns('start') ?? before - BigInt(Math.round(sinceS * NS_PER_S));
    if (end < start) throw invalid('end timestamp must not be before or equal to start time');
    return { start: instantOfNs(start < 0n ? 0n : start), end: instantOfNs(end) };
  }

  /** Step of a range query in whole ms; by default a 250th of the range, but at least a second. */
  get stepMs(): number {
    const { start, end } = this.range;
    const spanMs = end.timeMs - start.timeMs;
    // A product of decimals may be slightly below an integer.
    const stepMs = Math.floor(
      1000 * (this.#durationS('step') ?? Math.max(Math.floor(spanMs / 250_000), 1)) + 1e-6,
    );
    if (!(stepMs > 0))
      throw invalid('zero or negative query resolution step widths are not accepted. Try a positive integer');
    if (spanMs / stepMs > MAX_STEPS)
      throw invalid(
        'exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter',
      );
    return stepMs;
  }

  /**
   * The grid of a range query. As in Loki, its points are multiples of the step, from the last one before
   * `start` to the first one after `end`.
   */
  get grid(): TimeGrid {
    const { range, stepMs } = this;
    const { start, end } = range;
    const first = Math.floor(start.timeMs / stepMs);
    const last = Math.ceil((end.timeMs + Math.sign(end.nanos)) / stepMs);
    return { startMs: first * stepMs, stepMs, numPoints: last - first + 1 };
  }

  /**
   * Parses a time as Loki does: nanoseconds, seconds (up to 10 digits, or with a decimal point), or RFC 3339.
   */
  #ns(name: string): bigint | undefined {
    const text = this.get(name);
    if (text === undefined) return undefined;
    let ns: bigint | null = null;
    if (/^\d{1,19}$/.test(text)) ns = text.length <= 10 ? BigInt(text) * 1_000_000_000n : BigInt(text);
    else if (/^\d{1,12}(\.\d*)?(e[+]?\d{1,2})?$/i.test(text)) ns = secondsToNs(text);
    else {
      const date = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/i.exec(text);
      const wholeMs =
        date === null || !isInCalendar(date[1]!) ? Number.NaN : Date.parse(`${date[1]}${date[3]}`);
      if (date !== null && !Number.isNaN(wholeMs))
        ns = BigInt(wholeMs) * 1_000_000n + BigInt((date[2] ?? '').padEnd(9, '0'));
    }
    if (ns === null || ns > MAX_NS)
      throw invalid(
        `could not parse '${name}' parameter: ${text.slice(0, 100)} is not a time (ns, seconds or RFC 3339)`,
      );
    return ns;
  }

  /** Parses a duration such as `15000ms`, or a number of seconds. */
  #durationS(name: string): number | undefined {
    const text = this.get(name);
    if (text === undefined) return undefined;
    const seconds = /^[+-]?\d+(\.\d*)?$/.test(text) ? Number(text) : parseDurationS(text);
    if (!(Math.abs(seconds) * NS_PER_S <= Number(MAX_NS)))
      throw invalid(`cannot parse ${JSON.stringify(text.slice(0, 100))} to a valid duration`);
    return seconds;
  }
}

/** Whether a date exists: JavaScript would parse the 31st of February as the 2nd of March. */
function isInCalendar(date: string): boolean {
  const ms = Date.parse(`${date}Z`);
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(date.toUpperCase());
}

/** Computes with decimal digits, as a double cannot represent ns since 1970 exactly. */
function secondsToNs(text: string): bigint {
  if (/e/i.test(text)) return BigInt(Math.round(Number(text) * NS_PER_S));
  const [whole = '', fraction = ''] = text.split('.');
  return BigInt(whole) * 1_000_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, '0'));
}

function nowNs(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

export function invalid(message: string): LogsError {
  return new LogsError('BAD_INPUT', message);
}

/** Reads the body of a request. @throws LogsError `BAD_INPUT` as soon as the limit is exceeded */
async function readBody(c: Context, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of c.req.raw.body ?? []) {
    size += chunk.length;
    if (size > maxBytes) throw new LogsError('BAD_INPUT', `the body is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The request header in which a client requests another format of the answer. */
export const ENCODING_FLAGS = 'x-loki-response-encoding-flags';
/** The flag for labels by category: stream labels, structured metadata, parsed labels. */
export const CATEGORIZE_LABELS = 'categorize-labels';

export function isCategorized(flags: string | undefined): boolean {
  return flags?.split(',').includes(CATEGORIZE_LABELS) ?? false;
}

/** Parses a stream selector. @throws LogsError `BAD_INPUT` for any other query */
export function selectorOf(text: string): readonly Matcher[] {
  const query = parseQuery(text);
  if (query.kind !== 'log' || query.stages.length > 0) throw invalid('only label matchers are supported');
  return query.matchers;
}
