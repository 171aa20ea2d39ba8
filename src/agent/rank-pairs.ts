import type { ByteRing } from '../collectives/byte-ring.js';
import type { Doorbell } from '../collectives/doorbell.js';
import type { ShmSegment } from '../collectives/shm-segment.js';

interface Pair {
  readonly source: number;
  readonly destination: number;
  readonly ring: ByteRing;
}

/** An ordered pair of ranks whose bytes leave this node. */
export interface OutgoingPair extends Pair {
  readonly producer: Doorbell;
  /** Bytes in the ring that were given to the stream, which has not sent them yet. */
  inFlight: number;
  /** Unsent bytes of the current message, header included; 0 between messages. */
  left: number;
  operation: number;
  /** True if the current message is part of an aggregated one. */
  aggregate: boolean;
  /** True if an aggregated message was seen whose bytes wait for the bytes of the other pairs. */
  waiting: boolean;
  /** Stream offset up to which the receiver has granted credit. */
  creditEnd: number;
}

/** An ordered pair of ranks whose bytes arrive at this node. */
export interface IncomingPair extends Pair {
  readonly consumer: Doorbell;
}

/** Returns the pairs from every rank of this node to every rank of another one. */
export function outgoingPairs(segment: ShmSegment, other: number): OutgoingPair[] {
  const { node, workersPerNode, ringBytes } = segment.shape;
  return pairsOf(segment, node, other).map((pair) => ({
    ...pair,
    producer: segment.doorbell(pair.source % workersPerNode),
    inFlight: 0,
    left: 0,
    operation: 0,
    aggregate: false,
    waiting: false,
    creditEnd: ringBytes,
  }));
}

/** Returns the pairs from every rank of another node to every rank of this one. */
export function incomingPairs(segment: ShmSegment, other: number): IncomingPair[] {
  const { node, workersPerNode } = segment.shape;
  return pairsOf(segment, other, node).map((pair) => ({
    ...pair,
    consumer: segment.doorbell(pair.destination % workersPerNode),
  }));
}

function pairsOf(segment: ShmSegment, from: number, to: number): Pair[] {
  const { workersPerNode } = segment.shape;
  const ranksOf = (node: number) =>
    Array.from({ length: workersPerNode }, (_, i) => node * workersPerNode + i);
  return ranksOf(from).flatMap((source) =>
    ranksOf(to).map((destination) => ({ source, destination, ring: segment.ring(source, destination) })),
  );
}

/** Finds the pair of two ranks among those of two nodes; undefined if there is none. */
export function pairOf<T extends Pair>(
  pairs: readonly T[],
  source: number,
  destination: number,
): T | undefined {
  const workersPerNode = Math.sqrt(pairs.length);
  const pair = pairs[(source % workersPerNode) * workersPerNode + (destination % workersPerNode)];
  return pair?.source === source && pair.destination === destination ? pair : undefined;
}

/** Returns how many bytes of the pair's current message are in its ring and within its credit, at most `room`. */
export function sendable(pair: OutgoingPair, room: number): number {
  const { ring, inFlight } = pair;
  return Math.min(pair.left, ring.readable - inFlight, (pair.creditEnd - ring.tail - inFlight) >>> 0, room);
}
