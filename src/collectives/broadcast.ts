import { nodeOf } from './topology.js';
import type { Operation, Receive, Send, Transport } from './transport.js';

export interface BroadcastOptions {
  /** Sent by the root, overwritten on all other ranks; equal length on all. */
  readonly data: Uint8Array;
  readonly root: number;
  readonly purpose: string;
}

/**
 * Copies the root's bytes to every rank.
 *
 * @throws TrainerError as `Transport.transfer`
 */
export function broadcast(transport: Transport, { data, root, purpose }: BroadcastOptions): void {
  // Two steps: the root sends to its counterpart (same local rank) on each other node, (N - 1) B between
  // nodes; then each of them sends to its neighbours, (G - 1) B inside each node.
  const { topology } = transport;
  const { rank, node, localRank, numNodes, workersPerNode } = topology;
  const operation: Operation = { kind: 'broadcast', purpose };
  const parts = [data];
  const rootLocal = root % workersPerNode;
  const leaders = Array.from({ length: numNodes }, (_, n) => n * workersPerNode + rootLocal);
  const send = (to: readonly number[]): Send[] => to.filter((r) => r !== rank).map((r) => ({ to: r, parts }));
  const receive = (from: number): Receive[] => [{ from, parts }];

  const fromRoot = node !== nodeOf(topology, root) && localRank === rootLocal;
  transport.transfer(operation, rank === root ? send(leaders) : [], fromRoot ? receive(root) : []);
  const neighbours = Array.from({ length: workersPerNode }, (_, local) => node * workersPerNode + local);
  const isLeader = localRank === rootLocal;
  transport.transfer(operation, isLeader ? send(neighbours) : [], isLeader ? [] : receive(leaders[node]));
}
