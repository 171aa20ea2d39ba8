import type { Operation } from '@locmoe/run-format/operations';
import { numPairs } from './bfloat16-pairs.js';
import type { WirePrecision } from './communicator.js';
import {
  type Reduction,
  rankRange,
  type Steps,
  sumDirectly,
  throughGroup,
  throughNodes,
} from './reduction-steps.js';
import { type Buffers, wireOf } from './reduction-wire.js';
import { ringBytesFor } from './shm-layout.js';
import { nodeOf, type Topology } from './topology.js';
import type { PendingTransfer, Transport } from './transport.js';

export interface AllReduceOptions {
  /** Vector that is summed in place; its length is equal on all members. */
  readonly data: Float32Array;
  /**
   * The members, in increasing order; by default the world. If any rank passes a group, every rank of the
   * world makes the call, each with its own group (empty if it has none); lengths may differ between groups.
   */
  readonly group?: readonly number[];
  readonly purpose: string;
  readonly layer?: number | undefined;
  /** Precision in which vectors of more than 16 KiB travel between nodes; by default float32. */
  readonly wirePrecision?: WirePrecision;
}

/** Up to this size every rank sends its whole vector to all others: one step instead of two or three. */
const DIRECT_BYTES = 16 << 10;
/** Floats of a rank's slice of a block (256 KiB), so that it stays in cache. */
const SLICE_FLOATS = 1 << 16;
const FLOAT_BYTES = 4;

/**
 * Sums a vector over all ranks, or over a group of them. Additions follow one binary tree over the ranks, so all
 * members get the same bits, and all layouts whose workers per node are a power of two get the same. In bfloat16, the
 * sum of each node is rounded before it is added to other nodes' sums, so results differ between layouts by rounding.
 *
 * @throws TrainerError as `Transport.transfer`
 */
export function allReduce(transport: Transport, options: AllReduceOptions): void {
  const { data, group } = options;
  if (group) new Pipeline().run([throughGroup(reductionOfGroup(transport, group, options), group, data)]);
  else gradualAllReduce(transport, options).finish();
}

/** An all-reduce that overlaps the computation of its data. */
export interface GradualAllReduce {
  /**
   * Advances the blocks in flight by one step and starts some more, if there is more than one node. A collective: every
   * rank calls it at the same places among its other collectives, with the same argument.
   *
   * @param wholeFrom index from which on `data` is final; decreases from call to call
   */
  advance(wholeFrom: number): void;
  /** Declares all of `data` final; returns once it holds the sums. */
  finish(): void;
}

/**
 * Starts an `allReduce` of a vector that becomes final from its end to its start, as gradients do: final parts cross
 * the link while the rest is computed (the buckets of PyTorch DDP, arXiv 2006.15704, section 3.2.3). The result has the
 * same bits as that of `allReduce`.
 */
export function gradualAllReduce(
  transport: Transport,
  { data, ...options }: Omit<AllReduceOptions, 'group'>,
): GradualAllReduce {
  // B bytes, N nodes of G ranks. Small: one step, a rank sends (W - 1) B. Else, per rank:
  //   1. reduce-scatter inside the node:        one step, (G - 1) / G B
  //   2. slice B / G between the nodes:         N = 2: one step, B / G; else two steps, 2 (N - 1) / N B / G
  //   3. all-gather inside the node:            one step, (G - 1) / G B
  // so a node sends 2 (N - 1) / N B to other nodes whatever G is. The vector is pipelined in blocks, from its
  // end: one crosses the link while the next is summed in the node. A group: two steps, 2 (g - 1) / g B.
  const { worldSize, workersPerNode, numNodes } = transport.topology;
  const reduction = reductionOf(transport, options);
  const pipeline = new Pipeline();
  if (data.byteLength <= DIRECT_BYTES)
    return {
      advance() {},
      finish: () => pipeline.run([sumDirectly(reduction, rankRange(0, worldSize, 1), data, true)]),
    };
  const abreast = abreastFor(transport.topology);
  const floats = workersPerNode * SLICE_FLOATS;
  let left = Math.ceil(data.length / floats);
  const begin = (wholeFrom: number, most: number) => {
    const blocks: Steps[] = [];
    for (; blocks.length < most && left > 0 && (left - 1) * floats >= wholeFrom; left--) {
      const buffers = buffersOfBlock(left - 1, transport);
      const block = data.subarray((left - 1) * floats, left * floats);
      blocks.push(throughNodes({ ...reduction, buffers }, block, options.wirePrecision));
    }
    return blocks;
  };
  return {
    // A single node has no link to keep busy, and the computation needs its cores.
    advance(wholeFrom) {
      if (numNodes > 1) pipeline.advance(begin(wholeFrom, abreast));
    },
    finish() {
      // The pipelines take turns: while one waits for its block, the blocks of the others cross the link.
      const pipelines = [pipeline, ...Array.from({ length: abreast - 1 }, () => new Pipeline())];
      for (let turn = 0; left > 0 || pipelines.some(({ empty }) => !empty); turn++)
        pipelines[turn % abreast]!.advance(begin(0, 1));
    },
  };
}

/** Runs blocks, each one step behind the previous; all ranks start the same transfers in the same order. */
class Pipeline {
  #onTheWay: { readonly steps: Steps; readonly pending: PendingTransfer }[] = [];

  get empty(): boolean {
    return this.#onTheWay.length === 0;
  }

  /** Completes one step of all blocks in flight, and starts the next; starts the first step of each of `more`. */
  advance(more: readonly Steps[]): void {
    for (const { pending } of this.#onTheWay) pending.finish();
    this.#onTheWay = [...this.#onTheWay.map(({ steps }) => steps), ...more].flatMap((steps) => {
      const { done, value } = steps.next();
      return done ? [] : [{ steps, pending: value }];
    });
  }

  run(parts: readonly Steps[]): void {
    for (this.advance(parts); !this.empty; ) this.advance([]);
  }
}

function reductionOf(
  transport: Transport,
  { purpose, layer }: Pick<AllReduceOptions, 'purpose' | 'layer'>,
): Reduction {
  const operation: Operation = { kind: 'all-reduce', purpose, layer };
  const buffers: Buffers = {
    floats: (_, length) => new Float32Array(length),
    pairs: (_, length) => new Uint32Array(length),
  };
  return { transport, operation, buffers, wire: wireOf() };
}

function reductionOfGroup(
  transport: Transport,
  group: readonly number[],
  options: AllReduceOptions,
): Reduction {
  const { topology } = transport;
  const nodes = new Set(group.map((rank) => nodeOf(topology, rank)));
  const isLarge = options.data.byteLength > DIRECT_BYTES;
  const precision = nodes.size > 1 && isLarge ? options.wirePrecision : 'float32';
  return { ...reductionOf(transport, options), wire: wireOf(precision) };
}

/**
 * Returns the number of blocks that an `advance` starts, and of pipelines that a `finish` has: about as many slices fit
 * in a default ring.
 */
function abreastFor(topology: Topology): number {
  return ringBytesFor(topology) / (FLOAT_BYTES * SLICE_FLOATS);
}

/** Returns the maximum number of blocks in flight: a block needs as many further calls of `advance` as it has steps. */
function mostOnTheWay(topology: Topology): number {
  const { workersPerNode, numNodes } = topology;
  return abreastFor(topology) * ((workersPerNode > 1 ? 2 : 0) + Math.min(2, numNodes - 1));
}

/** Buffers, reused from call to call because the kernel clears fresh memory page by page. */
const floatsOfBlocks: Float32Array[] = [];
const pairsOfBlocks: Uint32Array[] = [];

function buffersOfBlock(index: number, { topology }: Transport): Buffers {
  const others = Math.max(topology.workersPerNode, topology.numNodes) - 1;
  const first = (index % mostOnTheWay(topology)) * others;
  return {
    floats(i, length) {
      floatsOfBlocks[first + i] ??= new Float32Array(SLICE_FLOATS);
      return floatsOfBlocks[first + i]!.subarray(0, length);
    },
    pairs(i, length) {
      const place = 2 * first + i;
      pairsOfBlocks[place] ??= new Uint32Array(numPairs(SLICE_FLOATS));
      return pairsOfBlocks[place].subarray(0, length);
    },
  };
}
