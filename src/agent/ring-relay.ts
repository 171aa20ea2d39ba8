import type { ByteRing } from '../collectives/byte-ring.js';
import type { Doorbell } from '../collectives/doorbell.js';
import { decodeForRelay, MESSAGE_HEADER_BYTES } from '../collectives/message.js';
import type { ShmSegment } from '../collectives/shm-segment.js';
import { TrainerError } from '../errors.js';
import { MAX_FRAME_PAYLOAD_BYTES, openFrame, SECTION_FIELDS } from '../rpc/frame-codec.js';
import type { Frame } from '../rpc/generated/messages.js';

/** An ordered pair of ranks whose bytes leave this node. */
interface OutgoingPair {
  readonly source: number;
  readonly destination: number;
  readonly ring: ByteRing;
  readonly producer: Doorbell;
  /** Unsent bytes of the current message, header included; 0 between messages. */
  left: number;
  operation: number;
  /** True if the current message is part of an aggregated one. */
  aggregate: boolean;
  /** True if an aggregated message was seen whose bytes wait for those of the other pairs. */
  waiting: boolean;
  /** Stream offset up to which the receiver has granted credit. */
  creditEnd: number;
}

/** An ordered pair of ranks whose bytes arrive at this node. */
interface IncomingPair {
  readonly source: number;
  readonly destination: number;
  readonly ring: ByteRing;
  readonly consumer: Doorbell;
}

/** State of the relay for one other node. */
interface PeerNode {
  readonly outgoing: readonly OutgoingPair[];
  readonly incoming: readonly IncomingPair[];
  numWaiting: number;
  send: ((encoded: Buffer) => void) | null;
}

/** Frames and payload bytes sent to other nodes. */
export interface RelayStats {
  readonly framesSent: number;
  readonly bytesSent: number;
}

/**
 * Moves bytes between the rings of a node's segment and its streams to other nodes; never blocks.
 *
 * Credit-based flow control per pair of ranks: a sender has at most a ring of bytes outstanding, so an
 * arriving section always fits its ring. Nothing queues here, no pair blocks another, and the rings bound
 * what the streams buffer.
 */
export class RingRelay {
  readonly #peers = new Map<number, PeerNode>();
  readonly #header = new Uint8Array(MESSAGE_HEADER_BYTES);
  #framesSent = 0;
  #bytesSent = 0;

  constructor(private readonly segment: ShmSegment) {
    const { node, numNodes, workersPerNode } = segment.shape;
    const ranksOf = (n: number) => Array.from({ length: workersPerNode }, (_, i) => n * workersPerNode + i);
    for (let other = 0; other < numNodes; other++) {
      if (other === node) continue;
      const outgoing = ranksOf(node).flatMap((source) =>
        ranksOf(other).map((destination) => this.#outgoingPair(source, destination)),
      );
      const incoming = ranksOf(other).flatMap((source) =>
        ranksOf(node).map((destination) => ({
          source,
          destination,
          ring: segment.ring(source, destination),
          consumer: segment.doorbell(destination % workersPerNode),
        })),
      );
      this.#peers.set(other, { outgoing, incoming, numWaiting: 0, send: null });
    }
  }

  #outgoingPair(source: number, destination: number): OutgoingPair {
    const { workersPerNode, ringBytes } = this.segment.shape;
    return {
      source,
      destination,
      ring: this.segment.ring(source, destination),
      producer: this.segment.doorbell(source % workersPerNode),
      left: 0,
      operation: 0,
      aggregate: false,
      waiting: false,
      creditEnd: ringBytes,
    };
  }

  #peer(node: number): PeerNode {
    const peer = this.#peers.get(node);
    if (peer) return peer;
    throw new TrainerError('INTERNAL', `node ${node} is no peer of node ${this.segment.shape.node}`);
  }

  #pairOf<T extends OutgoingPair | IncomingPair>(pairs: readonly T[], source: number, destination: number) {
    const { workersPerNode } = this.segment.shape;
    const pair = pairs[(source % workersPerNode) * workersPerNode + (destination % workersPerNode)];
    return pair?.source === source && pair.destination === destination ? pair : undefined;
  }

  get stats(): RelayStats {
    return { framesSent: this.#framesSent, bytesSent: this.#bytesSent };
  }

  /** Starts to send frames for `node` through `send`. */
  open(node: number, send: (encoded: Buffer) => void): void {
    this.#peer(node).send = send;
  }

  /** Sends to all nodes what the workers have written, as far as credit allows. */
  sendAll(): void {
    for (const peer of this.#peers.values()) {
      if (peer.send !== null) this.#sendTo(peer, peer.send);
    }
  }

  #sendTo(peer: PeerNode, send: (encoded: Buffer) => void): void {
    do {
      for (const pair of peer.outgoing) {
        while (this.#look(peer, pair) && !pair.aggregate) {
          const count = sendable(pair, MAX_FRAME_PAYLOAD_BYTES);
          if (count === 0) break;
          this.#sendFrame([pair], [count], send);
        }
      }
      if (peer.numWaiting === peer.outgoing.length) {
        peer.numWaiting = 0;
        for (const pair of peer.outgoing) pair.waiting = false;
      }
    } while (this.#sendAggregated(peer, send));
  }

  /** Reads the header at the front of a ring, if due; returns true if there is a message whose bytes may go. */
  #look(peer: PeerNode, pair: OutgoingPair): boolean {
    if (pair.left > 0) return !pair.waiting;
    if (pair.ring.readable < MESSAGE_HEADER_BYTES) return false;
    pair.ring.peek(this.#header);
    const { sequence, totalBytes, aggregate } = decodeForRelay(this.#header);
    pair.left = MESSAGE_HEADER_BYTES + totalBytes;
    pair.operation = sequence;
    pair.aggregate = aggregate;
    pair.waiting = aggregate;
    if (aggregate) peer.numWaiting++;
    return !aggregate;
  }

  #sendAggregated(peer: PeerNode, send: (encoded: Buffer) => void): boolean {
    for (let sent = false; ; sent = true) {
      const pairs: OutgoingPair[] = [];
      const counts: number[] = [];
      let room = MAX_FRAME_PAYLOAD_BYTES;
      for (const pair of peer.outgoing) {
        if (!pair.aggregate || pair.waiting || pair.left === 0) continue;
        if (pairs.length > 0 && pair.operation !== pairs[0]!.operation) continue;
        const count = sendable(pair, room);
        if (count === 0) continue;
        pairs.push(pair);
        counts.push(count);
        room -= count;
      }
      if (pairs.length === 0) return sent;
      this.#sendFrame(pairs, counts, send);
    }
  }

  #sendFrame(
    pairs: readonly OutgoingPair[],
    counts: readonly number[],
    send: (encoded: Buffer) => void,
  ): void {
    const sections: number[] = [];
    let total = 0;
    for (const [i, { source, destination, ring }] of pairs.entries()) {
      sections.push(source, destination, ring.tail, counts[i]!);
      total += counts[i]!;
    }
    const frame = openFrame(this.segment.generation, pairs[0]!.operation, sections, total);
    let at = 0;
    for (const [i, pair] of pairs.entries()) {
      pair.ring.read(frame.payload.subarray(at, at + counts[i]!), 0);
      at += counts[i]!;
      pair.left -= counts[i]!;
      if (pair.ring.takeWantsSpace()) pair.producer.ring();
    }
    this.#framesSent++;
    this.#bytesSent += total;
    send(frame.encoded);
  }

  /** True if everything that the workers wrote for other nodes has been sent. */
  get drained(): boolean {
    return [...this.#peers.values()].every((peer) => peer.outgoing.every(({ ring }) => ring.readable === 0));
  }

  /**
   * Writes an arrived frame into the rings of its destination ranks.
   *
   * @throws TrainerError `BAD_MESSAGE` if it belongs to another generation, leaves a gap, or exceeds its
   *   credit
   */
  deliver(node: number, frame: Frame): void {
    if (frame.generation !== this.segment.generation)
      throw this.#violation(node, `generation ${frame.generation} instead of ${this.segment.generation}`);
    const peer = this.#peer(node);
    let at = 0;
    for (let i = 0; i < frame.sections.length; i += SECTION_FIELDS) {
      const section = frame.sections.slice(i, i + SECTION_FIELDS);
      const [source, destination, offset, length] = section as [number, number, number, number];
      const pair = this.#pairOf(peer.incoming, source, destination);
      if (!pair) throw this.#violation(node, `bytes of rank ${source} for rank ${destination}`);
      if (offset !== pair.ring.head)
        throw this.#violation(
          node,
          `offset ${offset} instead of ${pair.ring.head} (rank ${source} to ${destination})`,
        );
      if (length > pair.ring.writable)
        throw this.#violation(node, `more than its credit (rank ${source} to ${destination})`);
      pair.ring.write(frame.payload.subarray(at, at + length), 0);
      at += length;
      if (pair.ring.takeWantsData()) pair.consumer.ring();
    }
  }

  #violation(node: number, what: string): TrainerError {
    return new TrainerError('BAD_MESSAGE', `the data stream from node ${node} carries ${what}`, {
      node: this.segment.shape.node,
    });
  }

  /**
   * Takes credit from `node`: triples (source rank, destination rank, stream position consumed up to).
   *
   * @throws TrainerError `BAD_MESSAGE` if they are not triples of rank pairs with that node, or a position
   *   was not sent yet or lies before the last one
   */
  credit(node: number, consumed: readonly number[]): void {
    const { outgoing } = this.#peer(node);
    const refusal = (what: string) =>
      new TrainerError('BAD_MESSAGE', `node ${node} sent ${what}`, { node: this.segment.shape.node });
    if (consumed.length % 3 !== 0) throw refusal('an incomplete credit');
    for (let i = 0; i < consumed.length; i += 3) {
      const [source, destination, position] = consumed.slice(i, i + 3) as [number, number, number];
      const pair = this.#pairOf(outgoing, source, destination);
      if (!pair) throw refusal(`a credit for bytes of rank ${source} for rank ${destination}`);
      const before = (pair.creditEnd - this.segment.shape.ringBytes) >>> 0;
      if ((position - before) >>> 0 > (pair.ring.tail - before) >>> 0)
        throw refusal(
          `a credit for bytes that it was not sent (rank ${source} to ${destination}, at ${position})`,
        );
      pair.creditEnd = (position + this.segment.shape.ringBytes) >>> 0;
    }
  }

  /**
   * Collects the credit due to `node`: triples of the pairs that have consumed a quarter of a ring since their last
   * grant.
   */
  takeCredit(node: number): number[] {
    const due = this.segment.shape.ringBytes / 4;
    const consumed: number[] = [];
    for (const { source, destination, ring } of this.#peer(node).incoming)
      if (ring.uncredited >= due) consumed.push(source, destination, ring.takeCredit());
    return consumed;
  }
}

/** Returns how many bytes of the pair's current message are in its ring and within its credit, at most `room`. */
function sendable(pair: OutgoingPair, room: number): number {
  const { ring } = pair;
  return Math.min(pair.left, ring.readable, (pair.creditEnd - ring.tail) >>> 0, room);
}
