import type { OperationKind, TransportStats } from './transport.js';

/** Statistics with nothing counted yet. */
export function emptyStats(): TransportStats {
  return {
    bytesSameNode: 0,
    bytesOtherNode: 0,
    msByKind: nothingByKind(),
    waitMsByKind: nothingByKind(),
    operations: 0,
  };
}

function nothingByKind(): Record<OperationKind, number> {
  return { 'all-to-all': 0, 'all-reduce': 0, 'all-gather': 0, broadcast: 0, barrier: 0 };
}
