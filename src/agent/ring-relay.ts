import { decodeForRelay, MESSAGE_HEADER_BYTES } from '../collectives/message.js';
import type { ShmSegment } from '../collectives/shm-segment.js';
import { TrainerError } from '../errors.js';
import { encodeHead, type FrameHead, MAX_FRAME_PAYLOAD_BYTES, SECTION_FIELDS } from '../rpc/frame-codec.js';
import { FrameReceiver, type SectionTarget } from './frame-receiver.js';
import {
  type IncomingPair,
  incomingPairs,
  type OutgoingPair,
  outgoingPairs,
  pairOf,
  sendable,
} from './rank-pairs.js';
import type { SendFrame } from './transport/peer-transport.js';

/** State of the relay for one other node. */
interface PeerNode {
  readonly outgoing: readonly OutgoingPair[];
  readonly incoming: readonly IncomingPair[];
  numWaiting: number;
  send: SendFrame | null;
}

/** Frames and payload bytes sent to other nodes. */
export interface RelayStats {
  readonly framesSent: number;
  readonly bytesSent: number;
}

/**
 * Moves bytes between the rings of a node's segment and its streams to other nodes; never blocks.
 *
 * Credit-based flow control per pair of ranks: a sender has at most a ring of bytes outstanding, so an arriving section
 * always fits its ring. Nothing queues here, no pair blocks another, and the rings bound what the streams buffer.
 */
export class RingRelay {
  readonly #peers = new Map<number, PeerNode>();
  readonly #header = new Uint8Array(MESSAGE_HEADER_BYTES);
  #isClosed = false;
  #framesSent = 0;
  #bytesSent = 0;

  constructor(private readonly segment: ShmSegment) {
    const { node, numNodes } = segment.shape;
    for (let other = 0; other < numNodes; other++) {
      if (other === node) continue;
      const outgoing = outgoingPairs(segment, other);
      const incoming = incomingPairs(segment, other);
      this.#peers.set(other, { outgoing, incoming, numWaiting: 0, send: null });
    }
  }

  #peer(node: number): PeerNode {
    const peer = this.#peers.get(node);
    if (peer) return peer;
    throw new TrainerError('INTERNAL', `node ${node} is no peer of node ${this.segment.shape.node}`);
  }

  get stats(): RelayStats {
    return { framesSent: this.#framesSent, bytesSent: this.#bytesSent };
  }

  /** Starts to send frames for `node` through `send`. */
  open(node: number, send: SendFrame): void {
    this.#peer(node).send = send;
  }

  /** Sends to all nodes what the workers have written, as far as credit allows. */
  sendAll(): void {
    for (const peer of this.#peers.values()) {
      if (peer.send !== null) this.#sendTo(peer, peer.send);
    }
  }

  #sendTo(peer: PeerNode, send: SendFrame): void {
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

  /** Reads the next message's header if it is in the ring; returns true if bytes of a message may be sent. */
  #look(peer: PeerNode, pair: OutgoingPair): boolean {
    if (pair.left > 0) return !pair.waiting;
    if (pair.ring.readable - pair.inFlight < MESSAGE_HEADER_BYTES) return false;
    pair.ring.peek(this.#header, pair.inFlight);
    const { sequence, totalBytes, aggregate } = decodeForRelay(this.#header);
    pair.left = MESSAGE_HEADER_BYTES + totalBytes;
    pair.operation = sequence;
    pair.aggregate = aggregate;
    pair.waiting = aggregate;
    if (aggregate) peer.numWaiting++;
    return !aggregate;
  }

  #sendAggregated(peer: PeerNode, send: SendFrame): boolean {
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

  #sendFrame(pairs: readonly OutgoingPair[], counts: readonly number[], send: SendFrame): void {
    const sections: number[] = [];
    const pieces: Uint8Array[] = [];
    let total = 0;
    for (const [i, pair] of pairs.entries()) {
      const { source, destination, ring, inFlight } = pair;
      const count = counts[i]!;
      sections.push(source, destination, (ring.tail + inFlight) >>> 0, count);
      pieces.push(...ring.pieces(inFlight, count));
      pair.inFlight += count;
      pair.left -= count;
      total += count;
    }
    this.#framesSent++;
    this.#bytesSent += total;
    const head = encodeHead(this.segment.generation, pairs[0]!.operation, sections, total);
    send([head, ...pieces], () => this.#release(pairs, counts));
  }

  #release(pairs: readonly OutgoingPair[], counts: readonly number[]): void {
    if (this.#isClosed) return;
    for (const [i, pair] of pairs.entries()) {
      pair.inFlight -= counts[i]!;
      pair.ring.release(counts[i]!);
      if (pair.ring.takeWantsSpace()) pair.producer.ring();
    }
  }

  /** Ends all use of the segment. */
  close(): void {
    this.#isClosed = true;
  }

  /** True if everything that the workers wrote for other nodes has been sent. */
  get drained(): boolean {
    return [...this.#peers.values()].every((peer) => peer.outgoing.every(({ ring }) => ring.readable === 0));
  }

  /**
   * Returns a receiver that writes the bytes of a stream from a node into the rings of their destination ranks, and
   * throws `BAD_MESSAGE` if a frame belongs to another generation, leaves a gap, or exceeds its credit.
   */
  receiver(node: number): FrameReceiver {
    return new FrameReceiver((head) => this.#begin(node, head));
  }

  #begin(node: number, { generation, sections }: FrameHead): SectionTarget[] {
    if (generation !== this.segment.generation)
      throw this.#violation(node, `generation ${generation} instead of ${this.segment.generation}`);
    const peer = this.#peer(node);
    // Several sections of one frame may belong to the same pair, one after the other.
    const begun = new Map<IncomingPair, number>();
    const targets: SectionTarget[] = [];
    for (let i = 0; i < sections.length; i += SECTION_FIELDS) {
      const section = sections.slice(i, i + SECTION_FIELDS);
      const [source, destination, offset, length] = section as [number, number, number, number];
      const pair = pairOf(peer.incoming, source, destination);
      if (!pair) throw this.#violation(node, `bytes of rank ${source} for rank ${destination}`);
      const before = begun.get(pair) ?? 0;
      const expected = (pair.ring.head + before) >>> 0;
      if (offset !== expected)
        throw this.#violation(
          node,
          `offset ${offset} instead of ${expected} (rank ${source} to ${destination})`,
        );
      if (before + length > pair.ring.writable)
        throw this.#violation(node, `more than its credit (rank ${source} to ${destination})`);
      begun.set(pair, before + length);
      targets.push({ ring: pair.ring, consumer: pair.consumer, left: length });
    }
    return targets;
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
      const pair = pairOf(outgoing, source, destination);
      if (!pair) throw refusal(`a credit for bytes of rank ${source} for rank ${destination}`);
      const before = (pair.creditEnd - this.segment.shape.ringBytes) >>> 0;
      if ((position - before) >>> 0 > (pair.ring.tail + pair.inFlight - before) >>> 0)
        throw refusal(
          `a credit for bytes that it was not sent (rank ${source} to ${destination}, at ${position})`,
        );
      pair.creditEnd = (position + this.segment.shape.ringBytes) >>> 0;
    }
  }

  /** Collects the credit due to `node`: triples for the pairs that have consumed a quarter of a ring since their last grant. */
  takeCredit(node: number): number[] {
    const due = this.segment.shape.ringBytes / 4;
    const consumed: number[] = [];
    for (const { source, destination, ring } of this.#peer(node).incoming)
      if (ring.uncredited >= due) consumed.push(source, destination, ring.takeCredit());
    return consumed;
  }
}
