import { type AllToAllOptions, startForm } from './all-to-all.js';
import type { PendingTransfer, Transport } from './transport.js';

/**
 * Hierarchical all-to-all with uneven splits (HetuMoE, arXiv 2203.14685, section 3.2): flat inside a node;
 * all bytes from one node to another travel as one aggregated message, which the receiving agent scatters to
 * its ranks. Same bytes as `allToAll`.
 *
 * @throws TrainerError as `Transport.transfer`
 */
export function hierarchicalAllToAll(transport: Transport, options: AllToAllOptions): void {
  startHierarchicalAllToAll(transport, options).finish();
}

/** Starts a `hierarchicalAllToAll`. */
export function startHierarchicalAllToAll(transport: Transport, options: AllToAllOptions): PendingTransfer {
  // One step for a rank; the agents gather, transfer and scatter. Bytes as in the flat form: a rank sends (W
  // - 1) B, of which (W - G) B leave the node. One message each way between two nodes instead of G * G.
  return startForm(transport, options, true);
}
