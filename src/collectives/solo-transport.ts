import { TrainerError } from '../errors.js';
import { topologyOf } from './topology.js';
import type { PendingTransfer, Transport } from './transport.js';
import { emptyStats, NO_SPANS } from './transport.js';

const DONE: PendingTransfer = { finish() {} };

/** Returns the transport of a world of one rank: no peers, no shared memory. */
export function soloTransport(): Transport {
  let stats = emptyStats();
  return {
    topology: topologyOf(0, 1, 1),
    spans: NO_SPANS,
    transfer(operation, sends, receives) {
      this.start(operation, sends, receives);
    },
    start(operation, sends, receives) {
      if (sends.length + receives.length > 0)
        throw new TrainerError(
          'INTERNAL',
          `${operation.kind} ${operation.purpose} has peers in a world of one rank`,
        );
      stats[operation.kind].operations++;
      return DONE;
    },
    stopRequested: false,
    setProgress() {},
    keepWaiting() {},
    takeStats() {
      const taken = stats;
      stats = emptyStats();
      return taken;
    },
    close() {},
  };
}
