import type { RunFolder, RunRecord } from '@locmoe/run-format';
import type { SnapshotRef } from '../rpc/generated/messages.js';
import type { RpcServer } from '../rpc/server.js';
import type { RunListener } from '../run/run-listener.js';
import type { RunIdentity } from './coordinator-options.js';
import type { RunOptions, RunPlan } from './planning/run-options.js';
import type { RunHost } from './run-host.js';
import type { RunLeader } from './run-leader.js';
import type { OpenRun, RunOutcome, RunView } from './run-view.js';

export interface LostNode {
  readonly node: number;
  readonly pid: number;
  readonly identity: RunIdentity;
}

/** The node agents of a run, wherever they were started. */
export interface Nodes {
  /** True if an agent that dies before the start may be replaced. */
  readonly areReplaceable: boolean;
  /** Join timeout of the first generation; later ones wait `cluster.rejoinTimeoutS`. */
  readonly joinTimeoutMs: number;
  start(leader: RunLeader, folder: RunFolder): void;
  /**
   * Ends the agent of a lost node, and keeps what it has left in shared memory for the one in its place.
   *
   * @returns the local snapshots that it has left; none if no other agent follows on the same machine
   */
  inherit(lost: LostNode): readonly SnapshotRef[];
  /** Restarts the agents whose pids are not in `present`, if possible; the agents in `present` rejoin unasked. */
  restart(present: readonly number[]): void;
  /** Waits up to `graceMs` for all agents to leave, then ends the remaining ones where possible. */
  end(leader: RunLeader, graceMs: number): Promise<void>;
}

/** How a run ended, and whether a signal had asked its process to end. */
export type LedOutcome = RunOutcome & { readonly isSignalled: boolean };

/** A planned run with everything that `leadRun` needs from the command or program that starts it. */
export interface RunLaunch {
  /** Command to name in the advice on how to resume. */
  readonly command: 'train' | 'serve' | 'launch';
  readonly options: RunOptions;
  /** Options that the command needs besides `--resume RUN`. */
  readonly resumeOptions: readonly string[];
  readonly plan: RunPlan;
  /** Server that is already listening. */
  readonly rpc: RpcServer;
  readonly place: Pick<RunRecord, 'address' | 'localAddress' | 'http' | 'isSecured'>;
  /** Token to keep in the run's folder for this user's agents and commands; null if the user passes it to them. */
  readonly token: string | null;
  readonly nodes: Nodes;
  readonly host: RunHost;
  readonly view: (run: OpenRun) => RunView;
  /** Creates further listeners, besides the view and the listeners that write the run's folder. */
  readonly listeners: (run: OpenRun) => readonly RunListener[];
  /** Decides for how many seconds this process keeps serving after the run's end. */
  readonly lingerS: (outcome: LedOutcome) => number;
}
