import type { Topology } from './topology.js';

export type OperationKind = 'all-to-all' | 'all-reduce' | 'all-gather' | 'broadcast' | 'barrier';

/** What one collective call is: it names the call in errors and lets peers check that they are in the same one. */
export interface Operation {
  readonly kind: OperationKind;
  /** What the caller uses it for, e.g. `dispatch`, `combine`, `gradients`. */
  readonly purpose: string;
  /** Index of the sparse layer it serves; absent outside a layer. */
  readonly layer?: number | undefined;
  /** Hash of the counts that all its ranks must agree on (`hashCounts`); absent or 0 where there are none. */
  readonly countsHash?: number | undefined;
}

/** Bytes for one rank, gathered from `parts` in order. */
export interface Send {
  readonly to: number;
  readonly parts: readonly Uint8Array[];
}

/** Bytes from one rank, scattered into `parts` in order; their total length must equal what the peer sends. */
export interface Receive {
  readonly from: number;
  readonly parts: readonly Uint8Array[];
}

export interface TransferOptions {
  /**
   * True: the sends of all ranks of this node to one other node travel as one aggregated message per pair of
   * nodes (hierarchical). False: each pair of ranks is a message of its own (flat).
   */
  readonly aggregate?: boolean;
}

/** What the exchanges of one kind of operation cost this rank. */
export interface OperationStats {
  operations: number;
  /** Time inside the transport, waiting included. */
  ms: number;
  /** Part of it spent asleep or polling with nothing to move. */
  waitMs: number;
  /** Bytes sent to other workers of this node, and to other nodes. */
  bytesSameNode: number;
  bytesOtherNode: number;
}

/** Since the last `takeStats`. */
export type TransportStats = Readonly<Record<OperationKind, OperationStats>>;

/** Exchanges of one rank that may be on their way at a time. */
export const MAX_PENDING = 16;

/** What a worker is doing; visible to its node agent without a message. */
export type Phase =
  | 'starting'
  | 'forward'
  | 'backward'
  | 'reduce'
  | 'optimizer'
  | 'validate'
  | 'checkpoint'
  | 'done';

/** An exchange on its way; what it reads and writes belongs to it until it is finished. */
export interface PendingTransfer {
  /**
   * Returns when all its sends and receives are complete; earlier and later ones go on meanwhile.
   *
   * @throws TrainerError as `Transport.transfer`
   */
  finish(): void;
}

/**
 * The narrow port that every collective is written on: move these bytes between ranks, all at once.
 *
 * Synchronous: TensorFlow's autograd takes only synchronous functions, so a collective must block.
 */
export interface Transport {
  readonly topology: Topology;

  /**
   * Carries out all sends and receives concurrently and returns when all are complete: `start`, then `finish`. Every rank of the world
   * calls the same operations in the same order; a rank that has nothing to send or receive may leave the lists
   * empty. With `aggregate` every rank must list a send for every rank of every other node (it may be empty).
   *
   * @throws TrainerError `COLLECTIVE_TIMEOUT` if nothing moved for the deadline (names who did not arrive),
   *   `COLLECTIVE_MISMATCH` if a peer is in another operation or step, sends another size or goes by other counts, `ABORTED` if the run was
   *   stopped by another rank's failure.
   */
  transfer(
    operation: Operation,
    sends: readonly Send[],
    receives: readonly Receive[],
    options?: TransferOptions,
  ): void;

  /**
   * Begins an exchange and returns at once, so that the worker computes while the bytes travel. What fits the rings
   * leaves now; the rest moves whenever the transport is called again. Between two ranks messages keep the order in
   * which their exchanges were started, so all ranks must start the same ones in the same order; they may finish them
   * in another. At most `MAX_PENDING` are on their way at a time.
   *
   * @throws TrainerError as `transfer`
   */
  start(
    operation: Operation,
    sends: readonly Send[],
    receives: readonly Receive[],
    options?: TransferOptions,
  ): PendingTransfer;

  /** Publishes what this worker is doing, for errors, heartbeats and `status`. */
  setProgress(step: number, phase: Phase): void;

  /** True once this worker was asked to end after its current step. */
  readonly stopRequested: boolean;

  takeStats(): TransportStats;

  close(): void;
}
