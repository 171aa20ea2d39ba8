import type { MetricsRecordOf } from '@locmoe/run-format';
import type { NumberTable } from './number-table.js';

/** Lines of more ranks cannot be told apart, so three lines summarize them all. */
const MAX_RANK_LINES = 16;
/** Resident bytes over all ranks, and the rank with the maximum. */
const OF_ALL = ['least', 'median', 'most', 'mostRank'];
/** Marks a run of many ranks: only such a run has this column. */
const IS_MANY = 'isMany';

/** Appends the memory of all ranks at a heartbeat. */
export function appendMemory(table: NumberTable, { time, ranks }: MetricsRecordOf<'heartbeat'>): void {
  table.put('time', time);
  // A process that has ended has 0 bytes.
  const living = ranks.filter(({ residentBytes }) => residentBytes > 0);
  // Many ranks have no separate columns, as these would not be drawn.
  if (ranks.length > MAX_RANK_LINES) table.put(IS_MANY, 1);
  else for (const { rank, residentBytes } of living) table.put(`rank.${rank}`, residentBytes);
  const sorted = living.toSorted((a, b) => a.residentBytes - b.residentBytes);
  table.put('least', sorted[0]?.residentBytes);
  table.put('median', sorted[sorted.length >> 1]?.residentBytes);
  table.put('most', sorted.at(-1)?.residentBytes);
  table.put('mostRank', sorted.at(-1)?.rank);
  table.endRow();
}

/** Returns the columns that are drawn: each rank in order or, for many ranks, minimum, median and maximum. */
export function memoryColumns(table: NumberTable): readonly string[] {
  const ranks = table.names.filter((name) => name.startsWith('rank.'));
  if (table.names.includes(IS_MANY) || ranks.length > MAX_RANK_LINES) return OF_ALL;
  const numberOf = (name: string) => Number(name.slice('rank.'.length));
  return ranks.toSorted((a, b) => numberOf(a) - numberOf(b));
}
