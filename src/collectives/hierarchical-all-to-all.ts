import { type AllToAllOptions, startForm } from './all-to-all.js';
import type { PendingTransfer, Transport } from './transport.js';

/**
 * All-to-all with uneven splits, hierarchical (HetuMoE, arXiv 2203.14685, section 3.2): inside a node as the flat
 * form; what all ranks of a node send to one other node travels as one aggregated message, which the receiving
 * node's agent scatters to its ranks. Gives the same bytes as `allToAll`.
 *
 * @throws TrainerError as `Transport.transfer`
 */
export function hierarchicalAllToAll(transport: Transport, options: AllToAllOptions): void {
  startHierarchicalAllToAll(transport, options).finish();
}

/** `hierarchicalAllToAll` in the background. */
export function startHierarchicalAllToAll(transport: Transport, options: AllToAllOptions): PendingTransfer {
  // One step for a rank; gather, transfer and scatter are the agents'. Bytes as in the flat form: (W - 1) B sent by
  // a rank, (W - G) B of them leaving the node. Between two nodes travels one message each way instead of G * G.
  return startForm(transport, options, true);
}
