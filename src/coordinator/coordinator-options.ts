import type { LogStore } from '@locmoe/logs';
import type { RunConfig } from '../config/schema.js';
import type { Logger } from '../logger.js';
import type { Inheritance, SnapshotRef } from '../rpc/generated/messages.js';
import type { DiskTolerance } from '../run/disk-tolerance.js';
import type { RankView, RunListener } from '../run/run-listener.js';
import type { RunState } from '../run/run-state.js';
import type { RunTotals } from '../run/run-totals.js';
import type { Adoption } from './planning/adoption.js';
import type { RootCause } from './root-cause.js';
import type { SnapshotTable } from './snapshot-table.js';

export interface RunIdentity {
  readonly runId: string;
  readonly generation: number;
  readonly config: RunConfig;
  readonly runDir: string;
  readonly datasetDir: string;
  /** Folder of the checkpoint to start from; null for a new run. */
  readonly resumeFrom: string | null;
  readonly resumedStep: number;
  /** Folder of a checkpoint that initialises the weights of a new run; null for none. */
  readonly initFrom: string | null;
  /** How the model grows from the dense checkpoint `initFrom`; null or undefined if both have the same model. */
  readonly inheritance?: Inheritance | null;
  /** Snapshot to start from instead of the checkpoint; null or undefined for none. */
  readonly snapshot?: SnapshotRef | null;
  /**
   * For each node of the layout in which the snapshot was taken the address of an agent that holds its state; null or undefined if
   * the layout is the same.
   */
  readonly snapshotHolders?: readonly string[] | null;
}

/** Why a run failed, with the state of every rank at that moment. */
export interface RunFailure extends RootCause {
  /** Wall clock, ms since 1970. */
  readonly timeMs: number;
  readonly ranks: readonly RankView[];
}

export interface CoordinatorOptions {
  readonly identity: RunIdentity;
  readonly logs: LogStore;
  readonly logger: Logger;
  /** Listeners, in the order in which they are notified. */
  readonly listeners: readonly RunListener[];
  /**
   * Configuration that checkpoints record; it differs from that of the identity, which is the default, where fewer
   * nodes rejoined.
   */
  readonly configured?: RunConfig;
  /** How long to wait for all nodes. */
  readonly joinTimeoutMs: number;
  /**
   * How long to wait for lost nodes where the others suffice, once those are there that left the last generation in order; undefined
   * for the first generation, which waits for all.
   */
  readonly grace?: { readonly ms: number; readonly numRejoining: number };
  /** Generation of another process to adopt; a new one begins if null or undefined. */
  readonly adopts?: Adoption | null;
  /** Number of processes that have led the run, this one included; 1 by default. */
  readonly term?: number;
  /** Ends this process if another one leads the run. */
  readonly assertLeads?: () => void;
  /**
   * True if nodes are started elsewhere: a node that dies before the start frees its place for another. Nodes
   * that this process starts itself are not replaced, so the run ends if one of them dies.
   */
  readonly nodesAreReplaceable: boolean;
  /** Allows faults to be injected into the run's nodes; false by default. */
  readonly allowsFaults?: boolean;
  /** Receives the snapshots that nodes report; optional. */
  readonly snapshots?: SnapshotTable;
  /** State of the whole run, across generations, that `GetStatus` reports; optional. */
  readonly run?: { readonly disk: DiskTolerance; readonly totals: RunTotals };
  /** Training time of earlier generations; 0 by default. */
  readonly trainedSeconds?: number;
  /** Decides whether the run restarts after a failure in the given state; never by default. */
  readonly mayRestart?: (failure: RunFailure, state: RunState) => boolean;
  /** Returns with how many of so many nodes the run may go on while others are missing; 0, the default, for none. */
  readonly numSufficing?: (numNodes: number) => number;
  /** How long the failure judge waits for the reports of other ranks; GRACE.evidenceMs by default. */
  readonly evidenceWindowMs?: number;
}
