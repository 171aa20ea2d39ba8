import { type LokiStream, queryRange, type RangeQuery } from '../loki.js';
import { type LogLine, parseLine } from './log-line.js';

/** The lines of an answer, stream by stream. */
export function linesOf(streams: readonly LokiStream[]): LogLine[] {
  return streams.flatMap(({ stream, values }) =>
    values.map(([ns, text, others]) => parseLine(stream, ns, text, others)),
  );
}

/** The lines of a log query; empty for a metric query. @throws RequestError */
export async function queryLines(range: RangeQuery): Promise<LogLine[]> {
  const data = await queryRange(range);
  return data.resultType === 'streams' ? linesOf(data.result) : [];
}
