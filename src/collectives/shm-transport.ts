import type { Operation, Phase } from '@locmoe/run-format/operations';
import { TrainerError } from '../errors.js';
import { yieldCore } from '../os/libc.js';
import { abortedError, checkHeader, context, type Place, timeoutError } from './collective-errors.js';
import type { ControlBlock } from './control-block.js';
import type { Doorbell } from './doorbell.js';
import type { FlightRing } from './flight-ring.js';
import { FlightSpans } from './flight-spans.js';
import { InFlight, progressAll } from './in-flight.js';
import type { MessageHeader } from './message.js';
import { PeerLinks } from './peer-link.js';
import { ShmSegment } from './shm-segment.js';
import { nodeOf, type Topology } from './topology.js';
import {
  emptyStats,
  MAX_PENDING,
  type PendingTransfer,
  type Receive,
  type Send,
  type TransferOptions,
  type Transport,
  type TransportStats,
} from './transport.js';

/** Longest sleep before a waiting worker checks the abort word, its parent and its deadline again. */
const WAIT_SLICE_MS = 100;
/** A sleep longer than this many ms means that the machine or this process was suspended. */
const SUSPENDED_MS = 1000;
/** How long a worker with nothing to move yields its core and polls before it sleeps. */
const SPIN_MS = 0.05;
const BEFORE_THE_FIRST: Operation = { kind: 'barrier', purpose: 'start' };

export interface ShmTransportOptions {
  readonly segmentPath: string;
  readonly generation: number;
  readonly topology: Topology;
  /** Time in ms without any byte moved after which an operation fails. */
  readonly timeoutMs: number;
}

/** A worker's transport: rings in memory shared with its node agent and the other workers of the node. */
export class ShmTransport implements Transport {
  readonly topology: Topology;
  readonly spans: FlightSpans;
  readonly #segment: ShmSegment;
  readonly #bell: Doorbell;
  readonly #control: ControlBlock;
  readonly #flight: FlightRing;
  /** Added to `performance.now()`, gives the times of the flight ring. */
  readonly #epochMs: number;
  readonly #links: PeerLinks;
  /** Transfers in the order in which they were started. */
  readonly #pending: InFlight[] = [];
  readonly #busyOut: Uint8Array;
  readonly #busyIn: Uint8Array;
  readonly #parentPid = process.ppid;
  readonly #timeoutMs: number;
  #stats = emptyStats();
  #sequence = 0;
  #step = 0;
  #current: InFlight | null = null;
  #closed = false;

  /** @throws TrainerError `INTERNAL` if the segment is missing or does not belong to this worker */
  constructor(options: ShmTransportOptions) {
    this.topology = options.topology;
    this.#timeoutMs = options.timeoutMs;
    const { localRank, workersPerNode } = this.topology;
    this.#segment = ShmSegment.attach(options.segmentPath, options.generation, this.topology);
    this.#bell = this.#segment.doorbell(localRank);
    this.#control = this.#segment.control(localRank);
    this.#flight = this.#segment.flight(localRank);
    this.#epochMs = this.#segment.epochMs;
    this.spans = new FlightSpans(this.#flight, this.#epochMs);
    this.#links = new PeerLinks(this.#segment, this.topology);
    this.#busyOut = new Uint8Array(this.topology.worldSize);
    this.#busyIn = new Uint8Array(this.topology.worldSize);
    this.#control.pid = process.pid;
    this.#segment.doorbell(workersPerNode).ring();
  }

  /** True once the run has to end after the current step; the ranks agree on the step by a collective. */
  get stopRequested(): boolean {
    return this.#segment.stopRequested;
  }

  transfer(
    operation: Operation,
    sends: readonly Send[],
    receives: readonly Receive[],
    options: TransferOptions = {},
  ): void {
    const started = performance.now();
    const transfer = this.#begin(operation, sends, receives, options, started);
    this.#flight.enter(transfer.ticket, this.#epochMs + started);
    this.#drive(transfer, started);
  }

  start(
    operation: Operation,
    sends: readonly Send[],
    receives: readonly Receive[],
    options: TransferOptions = {},
  ): PendingTransfer {
    const started = performance.now();
    const transfer = this.#begin(operation, sends, receives, options, started);
    this.#progress();
    if (transfer.done) this.#flight.enter(transfer.ticket, this.#epochMs + started);
    this.#control.endOperation();
    this.#stats[operation.kind].ms += performance.now() - started;
    return transfer;
  }

  #begin(
    operation: Operation,
    sends: readonly Send[],
    receives: readonly Receive[],
    { aggregate = false }: TransferOptions,
    started: number,
  ): InFlight {
    if (this.#closed) throw new TrainerError('INTERNAL', 'the transport is closed');
    this.#sequence = (this.#sequence + 1) >>> 0 || 1;
    const transfer = new InFlight(operation, this.#sequence, this.#step, started, this.#finish);
    this.#current = transfer;
    this.#control.startOperation(operation, transfer.sequence);
    this.#checkAbort();
    if (this.#pending.length === MAX_PENDING)
      throw new TrainerError(
        'INTERNAL',
        `more than ${MAX_PENDING} transfers at a time`,
        context(this.#place),
      );
    const stats = this.#stats[operation.kind];
    const sentTo = this.#stats.sent.of(operation, this.topology.worldSize);
    let [bytesOut, bytesIn] = [0, 0];
    for (const { to, parts } of sends) {
      const message = this.#links.to(to, operation).takeOutgoing();
      const bytes = message.begin(operation, transfer, aggregate, parts);
      bytesOut += bytes;
      if (sentTo !== null) sentTo[to]! += bytes;
      if (nodeOf(this.topology, to) === this.topology.node) stats.bytesSameNode += bytes;
      else stats.bytesOtherNode += bytes;
      transfer.outgoing.push(message);
    }
    const check = (peer: number, header: MessageHeader, expectedBytes: number) =>
      checkHeader(this.#placeOf(transfer), peer, header, expectedBytes);
    for (const { from, parts } of receives) {
      const message = this.#links.to(from, operation).takeIncoming();
      bytesIn += message.begin(parts, check);
      transfer.incoming.push(message);
    }
    transfer.ticket = this.#flight.begin(operation, {
      sequence: transfer.sequence,
      step: this.#step,
      numSends: sends.length,
      numReceives: receives.length,
      bytesOut,
      bytesIn,
      startMs: this.#epochMs + started,
    });
    this.#pending.push(transfer);
    stats.operations++;
    return transfer;
  }

  /** Waits for a started transfer. */
  readonly #finish = (transfer: InFlight): void => {
    if (!this.#pending.includes(transfer)) return;
    this.#current = transfer;
    this.#control.startOperation(transfer.operation, transfer.sequence);
    const now = performance.now();
    // If the rank has begun no other operation since the start, all that time counts as waiting.
    const isAlone = this.#flight.newest === transfer.ticket;
    this.#flight.enter(transfer.ticket, this.#epochMs + (isAlone ? transfer.startedMs : now));
    this.#drive(transfer, now);
  };

  #drive(transfer: InFlight, started: number): void {
    const { kind } = transfer.operation;
    let idleSince = performance.now();
    let now = idleSince;
    for (;;) {
      const moved = this.#progress();
      now = performance.now();
      if (transfer.done) break;
      if (moved > 0) idleSince = now;
      else if (now - idleSince >= this.#timeoutMs) this.#fail(transfer, now - idleSince);
      else {
        const isAsleep = now - idleSince >= SPIN_MS;
        if (isAsleep) this.#sleep(transfer, now - idleSince);
        else yieldCore();
        const idleMs = performance.now() - now;
        // A sleep much longer than asked means that this process was stopped or got no processor: it did not wait for others.
        const waitedMs = idleMs > 2 * WAIT_SLICE_MS ? WAIT_SLICE_MS : idleMs;
        transfer.waitMs += waitedMs;
        this.#flight.wait(transfer.ticket, transfer.waitMs, this.#epochMs + now + idleMs, transfer.lastPeer);
        if (!isAsleep) continue;
        this.#stats[kind].waitMs += waitedMs;
        // A sleep far longer than asked means that this process was suspended, and perhaps its peers, too.
        if (idleMs > SUSPENDED_MS) idleSince += idleMs - WAIT_SLICE_MS;
        this.#checkRun();
      }
    }
    this.#control.endOperation();
    this.#stats[kind].ms += now - started;
  }

  /** Moves as much as possible of all transfers, oldest first; returns the bytes moved. */
  #progress(): number {
    this.#busyOut.fill(0);
    this.#busyIn.fill(0);
    let [total, kept] = [0, 0];
    for (const transfer of this.#pending) {
      const sent = progressAll(transfer.outgoing, this.#busyOut);
      const received = progressAll(transfer.incoming, this.#busyIn);
      total += sent + received;
      if (received > 0 && !transfer.hasReceived) {
        transfer.hasReceived = true;
        this.#flight.firstByte(transfer.ticket, this.#epochMs + performance.now());
      }
      if (transfer.done) this.#flight.end(transfer.ticket, this.#epochMs + performance.now());
      else this.#pending[kept++] = transfer;
    }
    this.#pending.length = kept;
    return total;
  }

  /**
   * Sleeps until there may be something to move. Messages that fit in their rings wake the worker only once, when the
   * last has arrived: with more processes than cores, a needless wake-up delays the rank that all others wait for.
   */
  #sleep({ incoming }: InFlight, stalledMs: number): void {
    const seen = this.#bell.value;
    const { ringBytes } = this.#segment.shape;
    const outgoing = this.#pending.flatMap((transfer) => transfer.outgoing);
    const allSmall =
      this.#pending.length === 1 &&
      outgoing.length === 0 &&
      incoming.every((message) => message.bytesLeft <= ringBytes);
    this.#bell.arm(allSmall ? incoming.length : 1);
    for (const { ring } of outgoing) ring.setWantsSpace(true);
    for (const { ring } of incoming) ring.setWantsData(true);
    this.#control.waitFor((incoming[0] ?? outgoing[0]!).peer, stalledMs);
    const canMove =
      outgoing.some(({ ring }) => ring.writable > 0) || incoming.some(({ ring }) => ring.readable > 0);
    if (!canMove) this.#bell.wait(seen, WAIT_SLICE_MS);
  }

  #placeOf({ operation, sequence, step }: Omit<Place, 'topology'>): Place {
    return { topology: this.topology, operation, sequence, step };
  }

  get #place(): Place {
    const before = { operation: BEFORE_THE_FIRST, sequence: this.#sequence, step: this.#step };
    return this.#placeOf(this.#current ?? before);
  }

  #checkAbort(): void {
    const reason = this.#segment.abortReason;
    if (reason !== null) throw abortedError(this.#place, reason);
  }

  #checkRun(): void {
    this.#checkAbort();
    if (process.ppid !== this.#parentPid)
      throw abortedError(this.#place, `the node agent (pid ${this.#parentPid}) is gone`);
  }

  #fail({ outgoing, incoming }: InFlight, waitedMs: number): never {
    const missing = [...new Set([...incoming, ...outgoing].map(({ peer }) => peer))].sort((a, b) => a - b);
    const { node, workersPerNode } = this.topology;
    throw timeoutError(this.#place, waitedMs, missing, (rank) =>
      nodeOf(this.topology, rank) === node ? this.#segment.control(rank % workersPerNode).progress : null,
    );
  }

  setProgress(step: number, phase: Phase): void {
    this.#step = step;
    this.spans.step = step;
    this.#control.setProgress(step, phase);
  }

  keepWaiting(): void {
    this.#control.beat();
    this.#checkRun();
  }

  takeStats(): TransportStats {
    const taken = this.#stats;
    this.#stats = emptyStats();
    return taken;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#segment.close();
  }
}
