import type { Operation, Transport } from './transport.js';
import { treeSum } from './tree-sum.js';

export interface AllReduceOptions {
  /** Summed in place; of equal length on all members. */
  readonly data: Float32Array;
  /**
   * The ranks that sum together, in increasing order; all ranks of the world by default. With groups every rank of
   * the world calls at the same time, each with its own group (empty if it has none); sizes may differ by group.
   */
  readonly group?: readonly number[];
  readonly purpose: string;
  readonly layer?: number | undefined;
}

/** Up to this size a vector is sent whole to everyone: one step instead of two or three. */
const DIRECT_BYTES = 16 << 10;

/**
 * Sums a vector over all ranks, or over a group of them. All members get the same bits: the order of the sum is one
 * binary tree over the ranks, and if the number of workers of a node is a power of two, also the same bits in every
 * such layout.
 *
 * @throws TrainerError as `Transport.exchange`
 */
export function allReduce(transport: Transport, options: AllReduceOptions): void {
  // B bytes, N nodes of G ranks. Small: one step, a rank sends (W - 1) B. Else, per rank:
  //   1. reduce-scatter inside the node:        one step, (G - 1) / G B
  //   2. slice B / G between the nodes:         N = 2: one step, B / G; else two steps, 2 (N - 1) / N B / G
  //   3. all-gather inside the node:            one step, (G - 1) / G B
  // so a node sends 2 (N - 1) / N B to other nodes whatever G is. A group: two steps, 2 (g - 1) / g B.
  const { data, group, purpose, layer } = options;
  const operation: Operation = { kind: 'all-reduce', purpose, layer };
  const reduction = { transport, operation };
  const { topology } = transport;
  if (group) {
    reduceScatter(reduction, group, data);
    gatherSlices(reduction, group, data);
    return;
  }
  const everyone = rankRange(0, topology.worldSize, 1);
  if (data.byteLength <= DIRECT_BYTES) {
    sumDirectly(reduction, everyone, data, true);
    return;
  }
  const { node, localRank, workersPerNode, numNodes, worldSize } = topology;
  const neighbours = rankRange(node * workersPerNode, (node + 1) * workersPerNode, 1);
  const counterparts = rankRange(localRank, worldSize, workersPerNode);
  const mine = slice(data, localRank, workersPerNode);
  if (workersPerNode > 1) reduceScatter(reduction, neighbours, data);
  if (numNodes === 2) sumDirectly(reduction, counterparts, mine, false);
  else if (numNodes > 2) {
    reduceScatter(reduction, counterparts, mine);
    gatherSlices(reduction, counterparts, mine);
  }
  if (workersPerNode > 1) gatherSlices(reduction, neighbours, data);
}

interface Reduction {
  readonly transport: Transport;
  readonly operation: Operation;
}

function rankRange(from: number, end: number, stride: number): number[] {
  const list: number[] = [];
  for (let rank = from; rank < end; rank += stride) list.push(rank);
  return list;
}

function slice(data: Float32Array, index: number, count: number): Float32Array {
  return data.subarray(
    Math.floor((index * data.length) / count),
    Math.floor(((index + 1) * data.length) / count),
  );
}

function bytesOf(data: Float32Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** Every member sends its whole vector to every other, and sums. */
function sumDirectly(
  { transport, operation }: Reduction,
  members: readonly number[],
  data: Float32Array,
  aggregate: boolean,
): void {
  const { rank } = transport.topology;
  const inputs = members.map((member) => (member === rank ? data : new Float32Array(data.length)));
  const peers = members.filter((member) => member !== rank);
  const parts = [bytesOf(data)];
  transport.exchange(
    operation,
    peers.map((to) => ({ to, parts })),
    peers.map((from) => ({ from, parts: [bytesOf(inputs[members.indexOf(from)])] })),
    { aggregate },
  );
  treeSum(data, inputs);
}

/** Member i ends with slice i of the sum in its place; the other slices keep this rank's own values. */
function reduceScatter(
  { transport, operation }: Reduction,
  members: readonly number[],
  data: Float32Array,
): void {
  const { rank } = transport.topology;
  const index = members.indexOf(rank);
  const peers = index < 0 ? [] : members.filter((member) => member !== rank);
  const mine = slice(data, index, members.length);
  const inputs = members.map((member) => (member === rank ? mine : new Float32Array(mine.length)));
  transport.exchange(
    operation,
    peers.map((to) => ({ to, parts: [bytesOf(slice(data, members.indexOf(to), members.length))] })),
    peers.map((from) => ({ from, parts: [bytesOf(inputs[members.indexOf(from)])] })),
  );
  if (index >= 0) treeSum(mine, inputs);
}

/** Gives every member the slice that each of them has summed. */
function gatherSlices(
  { transport, operation }: Reduction,
  members: readonly number[],
  data: Float32Array,
): void {
  const { rank } = transport.topology;
  const index = members.indexOf(rank);
  const peers = index < 0 ? [] : members.filter((member) => member !== rank);
  const mine = [bytesOf(slice(data, index, members.length))];
  transport.exchange(
    operation,
    peers.map((to) => ({ to, parts: mine })),
    peers.map((from) => ({ from, parts: [bytesOf(slice(data, members.indexOf(from), members.length))] })),
  );
}
