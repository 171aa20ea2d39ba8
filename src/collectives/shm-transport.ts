import { availableParallelism } from 'node:os';
import { TrainerError } from '../errors.js';
import { abortedError, mismatchError, type Place, timeoutError } from './collective-errors.js';
import type { ControlBlock } from './control-block.js';
import type { Doorbell } from './doorbell.js';
import type { FlightRing } from './flight-ring.js';
import { IncomingMessage, type MessageHeader, OutgoingMessage, PURPOSE_BYTES } from './message.js';
import { ShmSegment } from './shm-segment.js';
import { nodeOf, type Topology } from './topology.js';
import type {
  ExchangeOptions,
  Operation,
  Phase,
  Receive,
  Send,
  Transport,
  TransportStats,
} from './transport.js';
import { emptyStats } from './transport-stats.js';

/** Longest sleep before a waiting worker looks at the abort word, its parent and its deadline again. */
const WAIT_SLICE_MS = 100;
/** A sleep this long means that the machine or this process stood still. */
const SUSPENDED_MS = 1000;
/** How long a worker looks again before it sleeps, where every process can have a core of its own. */
const SPIN_MS = 0.02;
/** What turns `performance.now()` into a time that the other processes of the machine share. */
const EPOCH_MS = performance.timeOrigin;

export interface ShmTransportOptions {
  readonly segmentPath: string;
  readonly generation: number;
  readonly topology: Topology;
  /** An operation in which no byte moves for this long fails. */
  readonly timeoutMs: number;
}

/** A worker's transport: rings in the memory it shares with its node agent and the other workers of the node. */
export class ShmTransport implements Transport {
  readonly topology: Topology;
  private readonly segment: ShmSegment;
  private readonly bell: Doorbell;
  private readonly control: ControlBlock;
  private readonly flight: FlightRing;
  private readonly outgoing: (OutgoingMessage | null)[] = [];
  private readonly incoming: (IncomingMessage | null)[] = [];
  private readonly parentPid = process.ppid;
  private readonly spinMs: number;
  private readonly timeoutMs: number;
  private stats = emptyStats();
  private sequence = 0;
  private step = 0;
  private operation: Operation = { kind: 'barrier', purpose: 'start' };
  private closed = false;

  /** @throws TrainerError `INTERNAL` if the segment is missing or not this worker's */
  constructor(options: ShmTransportOptions) {
    this.topology = options.topology;
    this.timeoutMs = options.timeoutMs;
    const { localRank, workersPerNode } = this.topology;
    this.segment = ShmSegment.attach(options.segmentPath, options.generation, this.topology);
    this.bell = this.segment.doorbell(localRank);
    this.control = this.segment.control(localRank);
    this.flight = this.segment.flight(localRank);
    this.spinMs = workersPerNode < availableParallelism() ? SPIN_MS : 0;
    for (let peer = 0; peer < this.topology.worldSize; peer++) this.linkTo(peer);
    this.control.pid = process.pid;
    this.segment.doorbell(workersPerNode).ring();
  }

  private linkTo(peer: number): void {
    const { rank, node, workersPerNode } = this.topology;
    if (peer === rank) {
      this.outgoing.push(null);
      this.incoming.push(null);
      return;
    }
    const isLocal = nodeOf(this.topology, peer) === node;
    const bell = this.segment.doorbell(isLocal ? peer % workersPerNode : workersPerNode);
    const out = this.segment.ring(rank, peer);
    const back = this.segment.ring(peer, rank);
    const wrote = isLocal ? () => out.takeWantsData() && bell.ring() : () => bell.ring();
    const creditBytes = this.segment.shape.ringBytes / 4;
    const read = isLocal
      ? () => back.takeWantsSpace() && bell.ring()
      : () => back.uncredited >= creditBytes && bell.ring();
    const check = (from: number, header: MessageHeader, expectedBytes: number) =>
      this.check(from, header, expectedBytes);
    this.outgoing.push(new OutgoingMessage(peer, out, wrote));
    this.incoming.push(new IncomingMessage(peer, back, read, check));
  }

  /** True once the run should end after the current step (all ranks must agree on the step by a collective). */
  get stopRequested(): boolean {
    return this.segment.stopRequested;
  }

  exchange(
    operation: Operation,
    sends: readonly Send[],
    receives: readonly Receive[],
    options: ExchangeOptions = {},
  ): void {
    const started = performance.now();
    if (this.closed) throw new TrainerError('INTERNAL', 'the transport is closed');
    this.operation = operation;
    this.sequence = (this.sequence + 1) >>> 0 || 1;
    this.control.startOperation(operation, this.sequence);
    this.checkAbort();
    let bytesOut = 0;
    let bytesIn = 0;
    const outgoing = sends.map((send) => {
      const message = this.messageOf(this.outgoing, send.to);
      bytesOut += this.beginSend(message, send, options.aggregate === true);
      return message;
    });
    const incoming = receives.map(({ from, parts }) => {
      const message = this.messageOf(this.incoming, from);
      bytesIn += message.begin(parts);
      return message;
    });
    this.flight.begin(operation, {
      sequence: this.sequence,
      step: this.step,
      numSends: sends.length,
      numReceives: receives.length,
      bytesOut,
      bytesIn,
      startMs: EPOCH_MS + started,
    });
    const ended = this.drive(outgoing, incoming);
    this.flight.end(EPOCH_MS + ended);
    this.control.endOperation();
    this.stats.operations++;
    this.stats.msByKind[operation.kind] += ended - started;
  }

  private messageOf<T>(messages: readonly (T | null)[], peer: number): T {
    const message = messages[peer];
    if (message) return message;
    const { worldSize } = this.topology;
    throw new TrainerError('INTERNAL', `rank ${peer} is no peer in a world of ${worldSize} ranks`, {
      rank: this.topology.rank,
      operation: this.operation.purpose,
    });
  }

  /** Returns the payload bytes. */
  private beginSend(message: OutgoingMessage, { to, parts }: Send, aggregate: boolean): number {
    const bytes = message.begin(this.operation, this.place, aggregate, parts);
    if (nodeOf(this.topology, to) === this.topology.node) this.stats.bytesSameNode += bytes;
    else this.stats.bytesOtherNode += bytes;
    return bytes;
  }

  /** Returns when the last byte had moved, by `performance.now()`. */
  private drive(outgoing: OutgoingMessage[], incoming: IncomingMessage[]): number {
    let idleSince = performance.now();
    let hasReceived = false;
    for (;;) {
      const sent = progressAll(outgoing);
      const received = progressAll(incoming);
      const now = performance.now();
      if (received > 0 && !hasReceived) {
        hasReceived = true;
        this.flight.firstByte(EPOCH_MS + now);
      }
      if (outgoing.length + incoming.length === 0) return now;
      if (sent + received > 0) idleSince = now;
      else if (now - idleSince >= this.timeoutMs) this.fail(outgoing, incoming, now - idleSince);
      else if (now - idleSince >= this.spinMs) {
        this.sleep(outgoing, incoming);
        const sleptMs = performance.now() - now;
        this.stats.waitMsByKind[this.operation.kind] += sleptMs;
        // Far longer than asked: this process was stopped itself, so its peers may well have been too.
        if (sleptMs > SUSPENDED_MS) idleSince += sleptMs - WAIT_SLICE_MS;
        this.checkAbort();
      }
    }
  }

  /**
   * Sleeps until there may be something to move. Messages that fit their rings wake the worker once, when the last
   * has arrived: with more processes than cores every needless wake-up delays the rank all others wait for.
   */
  private sleep(outgoing: readonly OutgoingMessage[], incoming: readonly IncomingMessage[]): void {
    const seen = this.bell.value;
    const { ringBytes } = this.segment.shape;
    const allSmall = outgoing.length === 0 && incoming.every((message) => message.bytesLeft <= ringBytes);
    this.bell.arm(allSmall ? incoming.length : 1);
    for (const { ring } of outgoing) ring.setWantsSpace(true);
    for (const { ring } of incoming) ring.setWantsData(true);
    this.control.waitFor((incoming[0] ?? outgoing[0]).peer);
    const canMove =
      outgoing.some(({ ring }) => ring.writable > 0) || incoming.some(({ ring }) => ring.readable > 0);
    if (!canMove) this.bell.wait(seen, WAIT_SLICE_MS);
  }

  private get place(): Place {
    const { topology, operation, sequence, step } = this;
    return { topology, operation, sequence, step };
  }

  private checkAbort(): void {
    const reason = this.segment.abortReason;
    if (reason !== null) throw abortedError(this.place, reason);
    if (process.ppid !== this.parentPid)
      throw abortedError(this.place, `the node agent (pid ${this.parentPid}) is gone`);
  }

  private fail(
    outgoing: readonly OutgoingMessage[],
    incoming: readonly IncomingMessage[],
    waitedMs: number,
  ): never {
    const missing = [...new Set([...incoming, ...outgoing].map(({ peer }) => peer))].sort((a, b) => a - b);
    const { node, workersPerNode } = this.topology;
    throw timeoutError(this.place, waitedMs, missing, (rank) =>
      nodeOf(this.topology, rank) === node ? this.segment.control(rank % workersPerNode).progress : null,
    );
  }

  private check(peer: number, header: MessageHeader, expectedBytes: number): void {
    const { operation, sequence } = this;
    const same =
      header.sequence === sequence &&
      header.kind === operation.kind &&
      header.layer === operation.layer &&
      header.totalBytes === expectedBytes &&
      header.step === this.step &&
      header.countsHash === (operation.countsHash ?? 0) &&
      operation.purpose.slice(0, PURPOSE_BYTES) === header.purpose;
    if (!same) throw mismatchError(this.place, peer, header, expectedBytes);
  }

  setProgress(step: number, phase: Phase): void {
    this.step = step;
    this.control.setProgress(step, phase);
  }

  takeStats(): TransportStats {
    const taken = this.stats;
    this.stats = emptyStats();
    return taken;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.segment.close();
  }
}

/** Moves what can be moved, drops finished messages from the list, and returns the bytes moved. */
function progressAll(messages: (OutgoingMessage | IncomingMessage)[]): number {
  let moved = 0;
  let kept = 0;
  for (const message of messages) {
    moved += message.progress();
    if (!message.done) messages[kept++] = message;
  }
  messages.length = kept;
  return moved;
}
