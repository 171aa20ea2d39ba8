import { type LogEntry, type SplitLabels, splitLabels } from '../logql/log-entries.js';
import type { Series, TimeGrid, Value } from '../logql/series.js';
import { type Instant, nsText } from '../store/instant.js';
import { type Labels, labelsKey } from '../store/streams.js';
import type { LokiRequest } from './gate.js';
import { CATEGORIZE_LABELS } from './parameters.js';

/** Labels of an entry that are not labels of its stream. */
interface Others {
  readonly structuredMetadata?: Readonly<Record<string, string>>;
  readonly parsed?: Readonly<Record<string, string>>;
}

interface StreamJson {
  readonly stream: Readonly<Record<string, string>>;
  /** Time in ns, the line, and its other labels if labels are separated by category. */
  readonly values: (readonly [string, string] | readonly [string, string, Others])[];
}

/**
 * Groups entries by label set; their order is kept within a stream.
 *
 * @param isCategorized whether labels that are not of the stream are returned with each entry
 */
export function toStreams(entries: readonly LogEntry[], isCategorized: boolean): StreamJson[] {
  const byKey = new Map<string, StreamJson>();
  // Entries share the labels of their stream, unless a stage has changed them.
  const byLabels = new Map<Labels, { readonly stream: StreamJson; readonly others: Others | null }>();
  for (const entry of entries) {
    let place = byLabels.get(entry.labels);
    if (place === undefined) {
      const split = isCategorized ? splitLabels(entry) : null;
      const labels = split?.stream ?? entry.labels;
      const key = labelsKey(labels);
      const stream = byKey.get(key) ?? { stream: Object.fromEntries(labels), values: [] };
      byKey.set(key, stream);
      place = { stream, others: split && othersOf(split) };
      byLabels.set(entry.labels, place);
    }
    const { stream, others } = place;
    const at = nsText(entry);
    stream.values.push(others === null ? [at, entry.text] : [at, entry.text, others]);
  }
  return [...byKey.values()];
}

/** Returns the non-empty categories, like Loki. */
function othersOf({ structuredMetadata, parsed }: SplitLabels): Others {
  return {
    ...(structuredMetadata.size === 0 ? {} : { structuredMetadata: Object.fromEntries(structuredMetadata) }),
    ...(parsed.size === 0 ? {} : { parsed: Object.fromEntries(parsed) }),
  };
}

export interface MatrixJson {
  readonly metric: Readonly<Record<string, string>>;
  /** Time in s since 1970, value as decimal text. */
  readonly values: [number, string][];
}

/** Converts a value to a matrix; a scalar becomes one constant series. */
export function toMatrix(value: Value, grid: TimeGrid): MatrixJson[] {
  const seconds = Array.from({ length: grid.numPoints }, (_, point) => secondsAt(grid, point));
  if (typeof value === 'number')
    return [{ metric: {}, values: seconds.map((at) => [at, sampleText(value)]) }];
  return value.map(({ labels, values, present }) => ({
    metric: Object.fromEntries(labels),
    values: seconds.flatMap((at, point): [number, string][] =>
      present[point] === 1 ? [[at, sampleText(values[point]!)]] : [],
    ),
  }));
}

export function toVector(series: readonly Series[], at: Instant): object[] {
  return series
    .filter(({ present }) => present[0] === 1)
    .map(({ labels, values }) => ({
      metric: Object.fromEntries(labels),
      value: [secondsOf(at), sampleText(values[0]!)],
    }));
}

export function secondsOf({ timeMs, nanos }: Instant): number {
  return timeMs / 1000 + nanos / 1e9;
}

function secondsAt({ startMs, stepMs }: TimeGrid, point: number): number {
  return Math.round(startMs + point * stepMs) / 1000;
}

export function queryAnswer(
  { options: { totals }, isCategorized, queueMs, startedMs }: LokiRequest,
  resultType: string,
  result: readonly unknown[],
  numEntries = result.length,
): object {
  const execTime = (performance.now() - startedMs) / 1000;
  return {
    status: 'success',
    data: {
      resultType,
      ...(isCategorized && resultType === 'streams' ? { encodingFlags: [CATEGORIZE_LABELS] } : {}),
      result,
      stats: {
        summary: {
          bytesProcessedPerSecond: Math.round(totals.bytes / execTime),
          linesProcessedPerSecond: Math.round(totals.lines / execTime),
          totalBytesProcessed: totals.bytes,
          totalLinesProcessed: totals.lines,
          execTime,
          queueTime: queueMs / 1000,
          totalEntriesReturned: numEntries,
        },
      },
    },
  };
}

/** Formats a sample's value as Loki does: all digits, without an exponent. */
export function sampleText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  if (value === Number.NEGATIVE_INFINITY) return '-Inf';
  const [, sign, whole, fraction = '', exponent] =
    /^(-?)(\d)(?:\.(\d+))?e([+-]\d+)$/.exec(String(value)) ?? [];
  if (exponent === undefined) return String(value);
  const digits = whole + fraction;
  const point = 1 + Number(exponent);
  return point > 0 ? sign + digits.padEnd(point, '0') : `${sign}0.${'0'.repeat(-point)}${digits}`;
}
