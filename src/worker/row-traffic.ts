import { ROW_DIRECTIONS, type SentRows } from '@locmoe/run-format/row-traffic';
import type { TransportStats } from '../collectives/transport.js';

/** Returns the rows that this rank sent, by layer and direction; deduplicated rows count in both hops. */
export function sentRowsOf(stats: readonly TransportStats[]): SentRows['sent'] {
  const sums = new Map<
    string,
    { layer: number; direction: SentRows['sent'][number]['direction']; toRank: number[] }
  >();
  for (const { sent } of stats)
    for (const { purpose, layer, toRank } of sent.all) {
      const plain = purpose.replace(/ (to|from) nodes/, '');
      const direction = ROW_DIRECTIONS.find((each) => each === plain);
      if (direction === undefined) continue;
      const key = `${layer} ${direction}`;
      const sum = sums.get(key) ?? { layer, direction, toRank: Array.from(toRank, () => 0) };
      toRank.forEach((bytes, rank) => {
        sum.toRank[rank]! += bytes;
      });
      sums.set(key, sum);
    }
  return [...sums.values()];
}
