import type { Topology } from '../collectives/topology.js';
import type { RunConfig } from '../config/schema.js';
import type { ErrorCode, ErrorContext } from '../errors.js';
import type {
  Inheritance,
  SaveEnded,
  SaveIntent,
  ShardFile,
  ShardReport,
  StepReport,
  ValidationReport,
  WriteShards,
} from '../rpc/generated/messages.js';
import type { TimedPart } from './start-clock.js';

/** Everything that a worker needs to take part in a run. */
export interface WorkerAssignment {
  readonly runId: string;
  readonly generation: number;
  readonly config: RunConfig;
  readonly topology: Topology;
  /** The node's shared-memory segment. */
  readonly segmentPath: string;
  readonly datasetDir: string;
  readonly checkpointDir: string;
  /** The node's folder of snapshots; null for none. */
  readonly snapshotDir: string | null;
  /** Pid of the process that keeps the snapshots if the agent dies; null for none. */
  readonly snapshotHeir: number | null;
  /** Folder of the checkpoint to start from; null for a new run. */
  readonly resumeFrom: string | null;
  /** Folder of a checkpoint from which a new run takes only the weights; null for none. */
  readonly initFrom: string | null;
  /** How the model grows from that checkpoint, which is dense; null if both are the same model. */
  readonly inheritance: Inheritance | null;
  /** Parts of the start before that of the worker's process. */
  readonly start: readonly TimedPart[];
}

/** Messages from node agent to worker, over the child process's IPC channel. */
export type WorkerCommand =
  /** Load what a run with this configuration needs, before there is an assignment. */
  | { readonly type: 'prepare'; readonly config: RunConfig }
  | { readonly type: 'start'; readonly assignment: WorkerAssignment }
  | { readonly type: 'begin' }
  /** Drop the generation, which was aborted, and keep the process for another one. */
  | { readonly type: 'release' }
  /** Arms a failpoint, for fault injection (failpoint.ts). */
  | { readonly type: 'failpoint'; readonly specification: string }
  | SaveCommand
  | SnapshotKept;

/** The node now holds its own ranks' last snapshot and a copy of its neighbour's; keeping them took `ms`. */
export interface SnapshotKept {
  readonly type: 'snapshot-kept';
  readonly step: number;
  readonly ms: number;
}

/** Commands of the coordinator during a save. */
export type SaveCommand =
  | ({ readonly type: 'write-shards' } & WriteShards)
  | ({ readonly type: 'save-ended' } & SaveEnded);

/** Part of a snapshot that a rank has written. */
export interface SnapshotReport {
  readonly rank: number;
  readonly step: number;
  readonly files: readonly ShardFile[];
  readonly metrics: Readonly<Record<string, number>>;
}

/** Messages from worker to node agent. */
export type WorkerEvent =
  /** Model and data are loaded; the worker waits for `begin`. */
  | { readonly type: 'ready' }
  | { readonly type: 'step'; readonly report: StepReport }
  | { readonly type: 'validation'; readonly report: ValidationReport }
  | { readonly type: 'saving'; readonly report: SaveIntent }
  | { readonly type: 'shards'; readonly report: ShardReport }
  | { readonly type: 'snapshot'; readonly report: SnapshotReport }
  | {
      readonly type: 'failed';
      readonly code: ErrorCode;
      readonly message: string;
      readonly context: ErrorContext;
    }
  | { readonly type: 'finished'; readonly stoppedEarly: boolean }
  /** The generation was aborted, and nothing of its generation is left; the worker waits for `start`. */
  | { readonly type: 'released' };
