import { otherRanks } from './topology.js';
import type { Transport } from './transport.js';

/**
 * Returns once every rank has called `barrier`.
 *
 * @throws TrainerError as `Transport.transfer`
 */
export function barrier(transport: Transport, { purpose }: { readonly purpose: string }): void {
  // One step: W - 1 empty messages from each rank, in one frame per pair of nodes.
  const peers = otherRanks(transport.topology);
  transport.transfer(
    { kind: 'barrier', purpose },
    peers.map((to) => ({ to, parts: [] })),
    peers.map((from) => ({ from, parts: [] })),
    { aggregate: true },
  );
}
