import {
  OPERATION_KINDS,
  type Operation,
  type OperationKind,
  type Phase,
} from '@locmoe/run-format/operations';
import type { Topology } from './topology.js';

/** Bytes for one rank: the concatenation of `parts`. */
export interface Send {
  readonly to: number;
  readonly parts: readonly Uint8Array[];
}

/** Buffers for the bytes of one rank, filled in order; their total length must equal what the peer sends. */
export interface Receive {
  readonly from: number;
  readonly parts: readonly Uint8Array[];
}

export interface TransferOptions {
  /**
   * True: all bytes from this node to another travel as one aggregated message (hierarchical). False: one
   * message for each pair of ranks (flat).
   */
  readonly aggregate?: boolean;
}

/** Cost of one kind of operation to this rank. */
export interface OperationStats {
  operations: number;
  /** Time inside the transport, waiting included. */
  ms: number;
  /** Part of `ms` spent asleep or polling. */
  waitMs: number;
  /** Bytes sent to other workers of this node, then bytes sent to other nodes. */
  bytesSameNode: number;
  bytesOtherNode: number;
}

/** Bytes that this rank sent to each rank, length W, in the all-to-alls of one purpose of one layer. */
export interface SentBytes {
  readonly purpose: string;
  readonly layer: number;
  readonly toRank: Float64Array;
}

/** Bytes of all-to-alls by layer, purpose and receiver, headers not included. */
export class SentByLayer {
  readonly #sent = new Map<string, SentBytes>();

  /** Returns the counters of an operation, by receiver; null unless it is an all-to-all of a layer. */
  of({ kind, purpose, layer }: Operation, worldSize: number): Float64Array | null {
    if (kind !== 'all-to-all' || layer === undefined) return null;
    const key = `${layer} ${purpose}`;
    const known = this.#sent.get(key) ?? { purpose, layer, toRank: new Float64Array(worldSize) };
    this.#sent.set(key, known);
    return known.toRank;
  }

  get all(): readonly SentBytes[] {
    return [...this.#sent.values()];
  }
}

/** Statistics since the last `takeStats`. */
export type TransportStats = Readonly<Record<OperationKind, OperationStats>> & {
  readonly sent: SentByLayer;
};

function nothing(): OperationStats {
  return { operations: 0, ms: 0, waitMs: 0, bytesSameNode: 0, bytesOtherNode: 0 };
}

/** Returns statistics that are all zero. */
export function emptyStats(): TransportStats {
  const byKind = Object.fromEntries(OPERATION_KINDS.map((kind) => [kind, nothing()]));
  return { ...(byKind as Record<OperationKind, OperationStats>), sent: new SentByLayer() };
}

/** Adds up several statistics for these kinds of operations. */
export function addStats(
  list: readonly TransportStats[],
  kinds: readonly OperationKind[] = OPERATION_KINDS,
): OperationStats {
  const total = nothing();
  for (const stats of list)
    for (const kind of kinds)
      for (const key of Object.keys(total) as (keyof OperationStats)[]) total[key] += stats[kind][key];
  return total;
}

/** Maximum number of transfers of one rank in flight at a time. */
export const MAX_PENDING = 64;

/** A transfer in flight. Its buffers belong to it until `finish` has returned. */
export interface PendingTransfer {
  /**
   * Returns when all its sends and receives are complete; other transfers progress meanwhile.
   *
   * @throws TrainerError as `Transport.transfer`
   */
  finish(): void;
}

/**
 * Records the parts of a step for its timeline. Parts nest: `begin` opens a part, and until its `end`, each
 * `next` begins a part inside it that follows the previous one.
 */
export interface SpanRecorder {
  /** Opens a part inside the part that is open. */
  begin(name: string): void;
  /**
   * Ends the part that the last `next` began, if any, and begins another one; with the same name and layer, the part continues.
   */
  next(name: string, layer?: number): void;
  /** Ends the part of the last `begin`, with any part that is open inside it. */
  end(): void;
  /** Records a part of the time before a step, by the machine's monotonic clock. */
  past(part: { readonly name: string; readonly startMs: number; readonly endMs: number }, step: number): void;
}

/** Records nothing. */
export const NO_SPANS: SpanRecorder = { begin() {}, next() {}, end() {}, past() {} };

/**
 * The interface on which every collective is built: point-to-point sends and receives, carried out together.
 *
 * Synchronous, as TensorFlow's operations and routers by file are.
 */
export interface Transport {
  readonly topology: Topology;
  /** Recorder of the timeline of a step; the transport itself records the collectives. */
  readonly spans: SpanRecorder;

  /**
   * Carries out all sends and receives concurrently and returns when all are complete: `start`, then
   * `finish`. Every rank of the world calls the same operations in the same order, also with empty lists.
   * With `aggregate` every rank must list a send, maybe empty, for every rank of every other node.
   *
   * @throws TrainerError `COLLECTIVE_TIMEOUT` if nothing moved until the deadline (names the missing ranks),
   *   `COLLECTIVE_MISMATCH` if a peer is in another operation or step, or has another size or other counts,
   *   `ABORTED` if another rank's failure ended the run
   */
  transfer(
    operation: Operation,
    sends: readonly Send[],
    receives: readonly Receive[],
    options?: TransferOptions,
  ): void;

  /**
   * Starts a transfer and returns at once, so that the worker can compute in the meantime. What fits in the
   * rings is sent now; the rest moves whenever the transport is called again. Messages between two ranks keep
   * the order in which their transfers were started, so all ranks must start the same transfers in the same
   * order; they may finish them in any order. At most `MAX_PENDING` are in flight.
   *
   * @throws TrainerError as `transfer`
   */
  start(
    operation: Operation,
    sends: readonly Send[],
    receives: readonly Receive[],
    options?: TransferOptions,
  ): PendingTransfer;

  /** Publishes the worker's progress for errors, heartbeats and `status`. */
  setProgress(step: number, phase: Phase): void;

  /**
   * Shows that the worker is alive while it waits for something other than a transfer; to be called at intervals.
   *
   * @throws TrainerError `ABORTED` if another rank's failure ended the run
   */
  keepWaiting(): void;

  /** True once the run has to end after the current step. */
  readonly stopRequested: boolean;

  takeStats(): TransportStats;

  close(): void;
}
