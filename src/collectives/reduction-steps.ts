import type { Operation } from '@locmoe/run-format/operations';
import type { WirePrecision } from './communicator.js';
import { type Buffers, type Wire, wireOf } from './reduction-wire.js';
import type { PendingTransfer, Transport } from './transport.js';
import { treeSum } from './tree-sum.js';

/** The steps of one block: yields each transfer it has started, and is resumed once the transfer is complete. */
export type Steps = Generator<PendingTransfer, void, void>;

export interface Reduction {
  readonly transport: Transport;
  readonly operation: Operation;
  readonly buffers: Buffers;
  /** Returns the conversion of values to and from the wire, for one step. */
  readonly wire: (buffers: Buffers) => Wire;
}

/** Runs a reduce-scatter in the node, a sum between nodes, and an all-gather in the node. */
export function* throughNodes(reduction: Reduction, data: Float32Array, betweenNodes?: WirePrecision): Steps {
  const { node, localRank, workersPerNode, numNodes, worldSize } = reduction.transport.topology;
  const neighbours = rankRange(node * workersPerNode, (node + 1) * workersPerNode, 1);
  const counterparts = rankRange(localRank, worldSize, workersPerNode);
  const mine = slice(data, localRank, workersPerNode);
  if (workersPerNode > 1) yield* reduceScatter(reduction, neighbours, data);
  const onTheLink = { ...reduction, wire: wireOf(betweenNodes) };
  if (numNodes === 2) yield* sumDirectly(onTheLink, counterparts, mine, false);
  else if (numNodes > 2) yield* throughGroup(onTheLink, counterparts, mine);
  if (workersPerNode > 1) yield* gatherSlices(reduction, neighbours, data);
}

export function* throughGroup(reduction: Reduction, members: readonly number[], data: Float32Array): Steps {
  yield* reduceScatter(reduction, members, data);
  yield* gatherSlices(reduction, members, data);
}

/** Sends this member's whole vector to all others and adds the vectors that it receives. */
export function* sumDirectly(
  { transport, operation, buffers, wire }: Reduction,
  members: readonly number[],
  data: Float32Array,
  aggregate: boolean,
): Steps {
  const { leave, arrive } = wire(buffers);
  const peers = members.filter((member) => member !== transport.topology.rank);
  const theirs = peers.map((_, i) => buffers.floats(i, data.length));
  const parts = [leave(data)];
  const arrivals = theirs.map(arrive);
  yield transport.start(
    operation,
    peers.map((to) => ({ to, parts })),
    peers.map((from, i) => ({ from, parts: [arrivals[i]!.bytes] })),
    { aggregate },
  );
  for (const { finish } of arrivals) finish();
  sumInOrder(data, theirs, transport.topology.rank, members);
}

/** Gives member i slice i of the sum; its other slices keep its own values. */
function* reduceScatter(
  { transport, operation, buffers, wire }: Reduction,
  members: readonly number[],
  data: Float32Array,
): Steps {
  const { leave, arrive } = wire(buffers);
  const { rank } = transport.topology;
  const index = members.indexOf(rank);
  const peers = index < 0 ? [] : members.filter((member) => member !== rank);
  const mine = slice(data, index, members.length);
  const theirs = peers.map((_, i) => buffers.floats(i, mine.length));
  const arrivals = theirs.map(arrive);
  yield transport.start(
    operation,
    peers.map((to) => ({ to, parts: [leave(slice(data, members.indexOf(to), members.length))] })),
    peers.map((from, i) => ({ from, parts: [arrivals[i]!.bytes] })),
  );
  for (const { finish } of arrivals) finish();
  if (index >= 0) sumInOrder(mine, theirs, rank, members);
}

/** Adds the values of all members in the members' order; `theirs` holds the values of the other members. */
function sumInOrder(
  mine: Float32Array,
  theirs: readonly Float32Array[],
  rank: number,
  members: readonly number[],
): void {
  const index = members.indexOf(rank);
  treeSum(mine, [...theirs.slice(0, index), mine, ...theirs.slice(index)]);
}

/** Gives every member all slices of the sum. */
function* gatherSlices(
  { transport, operation, buffers, wire }: Reduction,
  members: readonly number[],
  data: Float32Array,
): Steps {
  const { leave, arrive } = wire(buffers);
  const { rank } = transport.topology;
  const index = members.indexOf(rank);
  const peers = index < 0 ? [] : members.filter((member) => member !== rank);
  const sliceOf = (member: number) => slice(data, members.indexOf(member), members.length);
  const mine = peers.length > 0 ? [leave(sliceOf(rank))] : [];
  const arrivals = peers.map((from) => arrive(sliceOf(from)));
  yield transport.start(
    operation,
    peers.map((to) => ({ to, parts: mine })),
    peers.map((from, i) => ({ from, parts: [arrivals[i]!.bytes] })),
  );
  for (const { finish } of arrivals) finish();
}

function slice(data: Float32Array, index: number, count: number): Float32Array {
  return data.subarray(
    Math.floor((index * data.length) / count),
    Math.floor(((index + 1) * data.length) / count),
  );
}

export function rankRange(from: number, end: number, stride: number): number[] {
  const list: number[] = [];
  for (let rank = from; rank < end; rank += stride) list.push(rank);
  return list;
}
