import type { ClusterConfig } from './schema.js';

/**
 * Derives every deadline of a run, from the one setting `cluster.collectiveTimeoutS`, here C. Deadlines that depend on
 * processes, not on the exchange, have a minimum, as a busy machine does not get faster when C is small. All are in ms.
 *
 * | deadline          | follows           | C = 10 s | what it is for                                             |
 * |-------------------|-------------------|----------|------------------------------------------------------------|
 * | `heartbeatMs`     | C / 20, 0.05..0.5 | 0.5 s    | between two heartbeats of a node, and two checks of them   |
 * | `stackMs`         | 0.15 C, >= 1 s    | 1.5 s    | for a stuck worker to say where it is                      |
 * | `silentMs`        | 0.3 C, >= 3 s     | 3 s      | silence that makes a node the suspect of another's failure |
 * | `stoppedMs`       | 0.5 C             | 5 s      | a process stopped by SIGSTOP for this long counts as hung  |
 * | `hangMs`          | 0.75 C            | 7.5 s    | a worker without progress, for which others wait, is stuck |
 * | `lostMs`          | 0.8 C, >= 8 s     | 8 s      | a node without a heartbeat for this long is lost           |
 * | `collectiveMs`    | C                 | 10 s     | a collective in which nothing moves fails                  |
 * | `peerKeepaliveMs` | 0.5 C, >= 5 s     | 5 s      | a silent data stream breaks after once to twice this       |
 * | `sessionMs`       | C, >= 10 s        | 10 s     | from a node's join to its session                          |
 * | `connectMs`       | 3 C, >= 30 s      | 30 s     | for all data streams between nodes to open                 |
 * | `startMs`         | 12 C, >= 120 s    | 120 s    | for workers to load; without progress it is also a hang    |
 * | `saveMs`          | 12 C, >= 120 s    | 120 s    | for a checkpoint, where the next save or the end waits     |
 *
 * Their order makes a failure explain itself: a stopped or stuck worker is named before those that wait for it give up,
 * and a node is suspected before it is lost; `timeoutProblem` checks it. An agent connects to the coordinator before it
 * knows C, so the keepalive of that connection is fixed (coordinator-client.ts).
 */
export function timeoutsOf({ collectiveTimeoutS }: Pick<ClusterConfig, 'collectiveTimeoutS'>) {
  const collectiveMs = 1000 * collectiveTimeoutS;
  const share = (factor: number, leastMs = 0) => Math.max(leastMs, factor * collectiveMs);
  return {
    heartbeatMs: Math.min(500, share(0.05, 50)),
    stackMs: share(0.15, 1_000),
    silentMs: share(0.3, 3_000),
    stoppedMs: share(0.5),
    hangMs: share(0.75),
    collectiveMs,
    peerKeepaliveMs: share(0.5, 5_000),
    lostMs: share(0.8, 8_000),
    sessionMs: share(1, 10_000),
    connectMs: share(3, 30_000),
    startMs: share(12, 120_000),
    saveMs: share(12, 120_000),
  };
}

/** Longest pause between two tries of a node to join, in ms. */
export const JOIN_RETRY_MS = 1_000;

export type Timeouts = Readonly<ReturnType<typeof timeoutsOf>>;

/** Deadlines, in ms, for steps at the end of a generation that take little time with any model or network. */
export const GRACE = {
  /** Interval at which a coordinator checks whether another process has taken over its run. */
  fenceMs: 500,
  /** How long the reports of other ranks are awaited after a first failure. */
  evidenceMs: 2_500,
  /** How long the exit of a lost node's process is awaited once all ranks are accounted for. */
  lostExitMs: 500,
  /** Workers may report and give their ranks back for this long after an abort, before they are killed. */
  abortMs: 1_500,
  /** An agent awaits the coordinator's decision for this long after an abort; it comes once other nodes have ended. */
  decisionMs: 20_000,
  /** Workers have this long for their exit handlers after a successful run. */
  exitMs: 5_000,
  /** A killed process ends within this time unless it hangs in the kernel (a dead disk, a driver). */
  killMs: 1_000,
  /** Other nodes receive the last bytes of a successful run within this time. */
  drainMs: 2_000,
  /** The other side closes a stream or session within this time. */
  closeMs: 1_000,
  /** Longest time for which writing the flight file to a slow disk may delay the end of a failed run. */
  flightMs: 200,
  /** Time to save a last checkpoint for a run that fails because of an error in the coordinator. */
  lastCheckpointMs: 60_000,
  /** Agents leave within this time once a generation is over. */
  leaveMs: 4_000,
  /** Followers read the rest of the log once it is complete. */
  lastLinesMs: 2_000,
  /** The coordinator's process ends this long after a failure, whatever agents and followers do. */
  endMs: 4_800,
  /** Agents that `train` starts itself join within this time. */
  ownAgentsMs: 60_000,
  /** A check that is this late was not merely delayed by other work: the process was suspended. */
  standstillMs: 2_000,
  /** How long nodes that declared this process dead while it was suspended may still report. */
  afterStandstillMs: 10_000,
  /** A start that takes longer than this gives a warning. */
  slowStartMs: 10_000,
} as const;

/** Returns the reason why the deadlines derived from a setting are in the wrong order; null if they are in order. */
export function timeoutProblem(cluster: Pick<ClusterConfig, 'collectiveTimeoutS'>): string | null {
  const timeouts = timeoutsOf(cluster);
  const { heartbeatMs, silentMs, stoppedMs, hangMs, lostMs, collectiveMs, sessionMs, connectMs, startMs } =
    timeouts;
  const workers: readonly (readonly [string, number])[] = [
    ['two heartbeats', 2 * heartbeatMs],
    ['the deadline of a stopped worker', stoppedMs],
    ['the deadline of a stuck worker', hangMs],
    // One heartbeat interval until the report is sent, and one until it is seen.
    ['the report of a stuck worker', hangMs + 2 * heartbeatMs],
    ['the deadline of a collective', collectiveMs],
  ];
  const nodes: readonly (readonly [string, number])[] = [
    ['two heartbeats', 2 * heartbeatMs],
    ['the deadline of a silent node', silentMs],
    ['the deadline of a lost node', lostMs],
    ['the deadline of a session', sessionMs],
    ['the deadline of data streams', connectMs],
    ['the deadline of the start', startMs],
  ];
  for (const chain of [workers, nodes])
    for (const [i, [what, ms]] of chain.entries())
      if (i > 0 && ms <= chain[i - 1]![1])
        return (
          `${cluster.collectiveTimeoutS} s is too short: ${chain[i - 1]![0]} (${chain[i - 1]![1] / 1000} s) would not ` +
          `come before ${what} (${ms / 1000} s)`
        );
  return null;
}
