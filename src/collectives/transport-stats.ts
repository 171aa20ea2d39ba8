import { OPERATION_KINDS, type OperationKind } from '@locmoe/run-format/operations';
import type { OperationStats, TransportStats } from './transport.js';

function nothing(): OperationStats {
  return { operations: 0, ms: 0, waitMs: 0, bytesSameNode: 0, bytesOtherNode: 0 };
}

/** All zero. */
export function emptyStats(): TransportStats {
  return Object.fromEntries(OPERATION_KINDS.map((kind) => [kind, nothing()])) as TransportStats;
}

/** Totals of these kinds of operations over several statistics. */
export function addStats(
  list: readonly TransportStats[],
  kinds: readonly OperationKind[] = OPERATION_KINDS,
): OperationStats {
  const total = nothing();
  for (const stats of list)
    for (const kind of kinds)
      for (const key of Object.keys(total) as (keyof OperationStats)[]) total[key] += stats[kind][key];
  return total;
}
