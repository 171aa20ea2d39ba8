import type { Spread } from './statistics.js';

/** Text between these markers is kept when a report is regenerated. */
const WHY_BEGINS = '<!-- why: what is written between these two marks is kept -->';
const WHY_ENDS = '<!-- /why -->';
const NO_REASON_YET = '_Nothing written yet._';

/** The hand-written section of the previous report, with its markers; empty markers if it has none. */
export function keptReasons(previous: string): string {
  return `${WHY_BEGINS}\n${reasonsIn(previous)}\n${WHY_ENDS}`;
}

function reasonsIn(previous: string): string {
  const begin = previous.indexOf(WHY_BEGINS);
  const end = previous.indexOf(WHY_ENDS);
  if (begin < 0 || end < begin) return NO_REASON_YET;
  return previous.slice(begin + WHY_BEGINS.length, end).trim() || NO_REASON_YET;
}

/** The median, with the range in brackets where it is visible in the given format. */
export function withSpread({ median, least, most }: Spread, format: (value: number) => string): string {
  const [low, high] = [format(least), format(most)];
  return low === high ? format(median) : `${format(median)} (${low} to ${high})`;
}

/** 0.1234 -> "12.3 %" */
export function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** A Markdown table. The first row is the header; all columns but the first are right-aligned. */
export function table(rows: readonly (readonly string[])[]): string {
  const [header, ...body] = rows.map((row) => `| ${row.join(' | ')} |`);
  const columns = rows[0]!.map((_, column) => (column === 0 ? '---' : '---:'));
  return [header, `| ${columns.join(' | ')} |`, ...body].join('\n');
}
