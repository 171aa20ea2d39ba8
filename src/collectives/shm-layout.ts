import { FLIGHT } from '@locmoe/run-format';
import { RING_CONTROL_WORDS } from './byte-ring.js';
import { MAX_PURPOSE_BYTES } from './purpose.js';

/**
 * A node's segment holds, in this order: a header page, a control block for each worker and one for the agent, a flight
 * ring for each worker, the control words of all rings, the bytes of all rings. A ring carries the bytes of one ordered
 * pair of ranks, at least one of them on this node; the agent is the other end of rings between nodes.
 */
export interface SegmentShape {
  readonly node: number;
  readonly numNodes: number;
  readonly workersPerNode: number;
  /** Bytes of one ring; a power of two. */
  readonly ringBytes: number;
}

export const SEGMENT_MAGIC = 0x6d6f_636c; // "lcom"
export const SEGMENT_VERSION = 3;

const PAGE_BYTES = 4096;

/** Word indices in the header page. */
export const HEADER = {
  magic: 0,
  version: 1,
  generation: 2,
  node: 3,
  numNodes: 4,
  workersPerNode: 5,
  ringBytes: 6,
  /** A float64 in two words: time in ms since 1970 at which the machine's monotonic clock was 0. */
  epoch: 8,
  /** 1 once the run has failed or was aborted: every wait ends with `ABORTED`. */
  abort: 16,
  abortReasonBytes: 17,
  /** 1 once the run has to end after the current step. */
  stop: 32,
} as const;

/** Place of the abort reason's text in the header page, in bytes. */
export const ABORT_REASON = { offset: 256, maxBytes: 1024 } as const;

const CONTROL_BLOCK_WORDS = 64;

/** Word indices in a control block; the doorbell has a separate cache line. */
export const CONTROL = {
  doorbell: 0,
  pid: 16,
  step: 17,
  phase: 18,
  sequence: 19,
  kind: 20,
  /** -1 outside a layer. */
  layer: 21,
  /** 1 inside an operation, 0 after it. */
  active: 22,
  /** Rank that a sleeping worker waits for; -1 if none. */
  waitingFor: 23,
  heartbeat: 24,
  /** A float64 in two words: when the operation started, in ms since the epoch. */
  startedAt: 26,
  purposeBytes: 28,
  /** ms for which a sleeping worker has seen nothing move; 0 if it does not sleep. */
  stalledMs: 29,
  purpose: 32,
} as const;

/** Returns the index of a control block: the local rank of a worker, or `workersPerNode` for the agent. */
export function controlWord(block: number): number {
  return PAGE_BYTES / 4 + block * CONTROL_BLOCK_WORDS;
}

/** Spans that a worker's flight ring keeps: enough for a step of a deep model in several micro-batches. */
export const FLIGHT_SLOTS = 4096;
/** Number of different span names that a worker may use. */
export const FLIGHT_NAMES = 128;

/** Word indices in the head of a flight ring. */
export const FLIGHT_HEAD = {
  /** Ticket of the newest span; 0 before the first. */
  newest: 0,
  numNames: 1,
  /** Names, each as its length in bytes and its text. */
  names: 2,
  nameWords: 1 + MAX_PURPOSE_BYTES / 4,
} as const;

/** Words of one worker's flight ring. */
export const FLIGHT_WORDS =
  FLIGHT_HEAD.names + FLIGHT_NAMES * FLIGHT_HEAD.nameWords + FLIGHT_SLOTS * FLIGHT.words;

/** Returns the word index of the flight ring of a worker by its local rank. */
export function flightWord({ workersPerNode }: SegmentShape, localRank: number): number {
  return controlWord(workersPerNode + 1) + localRank * FLIGHT_WORDS;
}

/** Counts the rings: from each local worker to all other ranks, and from each remote rank to each local worker. */
export function numRings({
  numNodes,
  workersPerNode,
}: Pick<SegmentShape, 'numNodes' | 'workersPerNode'>): number {
  const worldSize = numNodes * workersPerNode;
  return workersPerNode * (worldSize - 1) + workersPerNode * (worldSize - workersPerNode);
}

/** Returns the index of the ring from rank `source` to rank `destination`, at least one of them on the shape's node. */
export function ringIndex(shape: SegmentShape, source: number, destination: number): number {
  const { node, numNodes, workersPerNode } = shape;
  const worldSize = numNodes * workersPerNode;
  const first = node * workersPerNode;
  if (source >= first && source < first + workersPerNode)
    return (source - first) * (worldSize - 1) + (destination < source ? destination : destination - 1);
  const remote = source < first ? source : source - workersPerNode;
  return workersPerNode * (worldSize - 1) + (destination - first) * (worldSize - workersPerNode) + remote;
}

function ringControlStart(shape: SegmentShape): number {
  return flightWord(shape, shape.workersPerNode);
}

function ringBytesStart(shape: SegmentShape): number {
  const end = (ringControlStart(shape) + numRings(shape) * RING_CONTROL_WORDS) * 4;
  return Math.ceil(end / PAGE_BYTES) * PAGE_BYTES;
}

/** Returns the word index of a ring's control. */
export function ringControlWord(shape: SegmentShape, ring: number): number {
  return ringControlStart(shape) + ring * RING_CONTROL_WORDS;
}

/** Returns the byte offset of a ring's bytes. */
export function ringByteOffset(shape: SegmentShape, ring: number): number {
  return ringBytesStart(shape) + ring * shape.ringBytes;
}

const MOST_RINGS_BYTES = 32 << 20;
const LARGEST_RING_BYTES = 2 << 20;
const SMALLEST_RING_BYTES = 512 << 10;

/**
 * Returns the bytes of a ring where a configuration states none. The bytes in transit between two ranks are limited by
 * a ring's size, and agents on busy cores forward them late, so a larger ring allows more bytes per second between
 * nodes. The small rings of a run on one node stay in the caches.
 */
export function ringBytesFor(layout: Pick<SegmentShape, 'numNodes' | 'workersPerNode'>): number {
  let bytes = layout.numNodes === 1 ? SMALLEST_RING_BYTES : LARGEST_RING_BYTES;
  while (bytes > SMALLEST_RING_BYTES && numRings(layout) * bytes > MOST_RINGS_BYTES) bytes /= 2;
  return bytes;
}

/** Returns the size of the whole segment. */
export function segmentBytes(shape: SegmentShape): number {
  return ringBytesStart(shape) + numRings(shape) * shape.ringBytes;
}
