import type { LogStore } from '@locmoe/logs';
import type { Inheritance } from '../checkpoint/inherit.js';
import type { RunConfig } from '../config/schema.js';
import type { Logger } from '../logger.js';
import type { SnapshotRef } from '../rpc/messages.js';
import type { RankView } from '../run/rank-view.js';
import type { RunListener } from '../run/run-listener.js';
import type { RunState } from '../run/run-state.js';
import type { Adoption } from './planning/adoption.js';
import type { RootCause } from './root-cause.js';
import type { SnapshotTable } from './snapshot-table.js';

/** What is fixed for the whole of a generation. */
export interface RunIdentity {
  readonly runId: string;
  readonly generation: number;
  readonly config: RunConfig;
  readonly runDir: string;
  readonly datasetDir: string;
  /** Folder of the checkpoint to start from; null for a new run. */
  readonly resumeFrom: string | null;
  /** Updates done there; 0 for a new run. */
  readonly resumedStep: number;
  /** Folder of a checkpoint that gives a new run its weights alone; null for none. */
  readonly initFrom: string | null;
  /** How the model grows from that checkpoint, a dense one; null or left out where both are the same model. */
  readonly inheritance?: Inheritance | null;
  /** To start from instead of the checkpoint; null or left out for none. */
  readonly snapshot?: SnapshotRef | null;
}

/** Why a run failed, and what every rank was doing when that was decided. */
export interface RunFailure extends RootCause {
  /** Wall clock, ms since 1970. */
  readonly timeMs: number;
  readonly ranks: readonly RankView[];
}

export interface CoordinatorOptions {
  readonly identity: RunIdentity;
  readonly logs: LogStore;
  readonly logger: Logger;
  /** Notified in this order. */
  readonly listeners: readonly RunListener[];
  /**
   * The configuration that checkpoints keep; that of the identity if left out, which has fewer nodes where others did
   * not come back.
   */
  readonly configured?: RunConfig;
  /** How long to wait for all nodes. */
  readonly joinTimeoutMs: number;
  /** Goes on with what another process led; begins a generation if left out or null. */
  readonly adopts?: Adoption | null;
  /** Counts the processes that have led the run; 1 if left out. */
  readonly term?: number;
  /** Ends this process if another one leads the run. */
  readonly assertLeads?: () => void;
  /**
   * Nodes are started elsewhere: one that dies before the start frees its place for another. Nobody would
   * replace those that this process started, so there the run ends.
   */
  readonly nodesAreReplaceable: boolean;
  /** Its nodes may be told to inflict faults on themselves; false if left out. */
  readonly allowsFaults?: boolean;
  /** Learns of what the nodes hold in memory; nothing does if left out. */
  readonly snapshots?: SnapshotTable;
  /** Time that earlier generations have trained; 0 if left out. */
  readonly trainedSeconds?: number;
  /**
   * Whether the run goes on with another generation after a failure of this one, in the state in which it happened;
   * never if left out.
   */
  readonly mayRestart?: (failure: RunFailure, state: RunState) => boolean;
  /** Whether the run goes on with so few nodes when others did not come in time; never if left out. */
  readonly maySuffice?: (numNodes: number) => boolean;
  /** How long the failure judge waits for the reports of other ranks; its default if left out. */
  readonly evidenceWindowMs?: number;
}
