import { setTimeout as sleep } from 'node:timers/promises';
import { removeStaleSegments } from '../collectives/segment-files.js';
import type { RunConfig } from '../config/schema.js';
import { asTrainerError, EXIT } from '../errors.js';
import { createLogger } from '../logger.js';
import { assertAddressSpace } from '../os/address-space.js';
import { onSignals } from '../os/on-signals.js';
import { formatAddress, parseAddress } from '../rpc/address.js';
import type { JoinReply } from '../rpc/generated/messages.js';
import { assertMayListen, NO_SECURITY, randomToken, type Security, withOwnToken } from '../rpc/security.js';
import { createRpcServer, listen } from '../rpc/server.js';
import { FaultyLink } from './faulty-link.js';
import { findPlace, type Place } from './find-place.js';
import { NodeAgent, type NodeEnd } from './node-agent.js';
import { NodeSnapshots } from './node-snapshots.js';
import type { ParentWatch } from './parent-watch.js';
import { WorkerPool } from './worker-pool.js';

export interface NodeOptions {
  readonly coordinator: string;
  readonly listen: string;
  readonly advertise?: string | undefined;
  /** Credentials of the cluster; null to use those of the run that this user leads at a loopback address. */
  readonly security: Security | null;
  /** Allows plain text beyond loopback. */
  readonly insecure?: boolean;
  /** How long to wait for a coordinator to answer, in seconds. */
  readonly joinTimeout: number;
  /** Joins one run after another. */
  readonly forever?: boolean;
  /** Takes each line of the log; null to keep it off standard output. */
  readonly output: ((line: string) => void) | null;
  /** Injects faults into this node when the coordinator asks for them. */
  readonly allowFaults?: boolean;
  /**
   * Watch over the parent process, paused while a session is open; null if there is none. A parent leads the
   * run itself, and nobody restarts it.
   */
  readonly parent: ParentWatch | null;
}

/** Pause between two runs, so that a run that fails at once is not joined in a tight loop. */
const PAUSE_MS = 500;

/**
 * Takes part in a run as one node; with `forever`, in one run after another.
 *
 * @returns the exit code: 0 if the workers ended well, 3 if the run failed; 0 (`forever`) or 130 if a signal arrived
 *   before the run started
 * @throws TrainerError for a bad address, certificate or token, or if no run could be joined
 */
export async function runNode(options: NodeOptions): Promise<number> {
  const { advertise, security, insecure = false, forever = false, output } = options;
  const coordinator = parseAddress('--coordinator', options.coordinator);
  const listenAt = parseAddress('--listen', options.listen);
  assertMayListen(listenAt, security ?? NO_SECURITY, insecure);
  assertAddressSpace();
  removeStaleSegments();
  // Nobody may call this server before a run is joined.
  const rpc = createRpcServer(security ?? withOwnToken(randomToken()));
  const bound = await listen(rpc, listenAt, '--listen');
  const logger = createLogger({
    level: 'info',
    origin: { run: '', generation: 0 },
    destination: { write: (line) => output?.(line.trimEnd()) },
  });
  const link = options.allowFaults ? new FaultyLink() : null;
  const idleCode = forever ? EXIT.done : EXIT.interrupted;
  const snapshots = new NodeSnapshots(rpc, options.parent?.parent ?? null);
  const pool = new WorkerPool();
  let agent: NodeAgent | null = null;
  let isAsked = false;
  let formerNode: number | undefined;
  let runId = '';
  /** How long to look for a run that may continue elsewhere; null if its address is known. */
  let lookMs: number | null = null;
  const off = onSignals((signal) => {
    isAsked = true;
    if (agent === null) process.exit(idleCode);
    agent.requestStop(signal);
  });
  logger.info(`node listens at ${formatAddress(bound)}`);
  try {
    for (let run = 0; ; run++) {
      const place: Place | null = await findPlace({
        coordinator,
        bound,
        advertise,
        security,
        formerNode,
        timeoutMs: run === 0 || !forever ? (lookMs ?? options.joinTimeout * 1000) : Number.POSITIVE_INFINITY,
        // A parent learns of the run's end, and then ends this process.
        patient: forever || options.parent !== null,
        onWait: (why) => logger.info(`waiting: ${why}`),
      }).catch((error: unknown) => {
        if (lookMs === null) throw error;
        // The node's options are valid, but the run that it was looking for has failed.
        logger.error(asTrainerError(error).message);
        return null;
      });
      if (place === null) return EXIT.failedRun;
      // A node that looked for its run may have found another one, with another configuration.
      if (place.join.runId !== runId) await pool.end();
      runId = place.join.runId;
      rpc.security = place.security;
      // From here on, a broken session reveals that the coordinator has ended.
      options.parent?.pause();
      agent = new NodeAgent({
        ...place,
        rpc,
        snapshots,
        pool,
        output,
        link,
        outlivesCoordinator: options.parent === null,
      });
      const end: NodeEnd = await agent.ended;
      const { hasStarted } = agent;
      agent = null;
      place.client.close();
      const goesOn = typeof end === 'string';
      if (isAsked && (!hasStarted || goesOn)) return idleCode;
      if (!goesOn) {
        snapshots.clear();
        await pool.end();
      }
      formerNode = goesOn ? place.join.node : undefined;
      lookMs = end === 'look' ? 1000 * coordinatorTimeoutOf(place.join) : null;
      if (goesOn) {
        // The parent is watched until the next session opens.
        options.parent?.resume();
        continue;
      }
      if (!forever || isAsked) return end;
      await sleep(PAUSE_MS);
    }
  } finally {
    off();
    options.parent?.pause();
    link?.close();
    snapshots.clear();
    await pool.end();
    rpc.close();
  }
}

/** Returns `cluster.coordinatorTimeoutS` of the run, in s. */
function coordinatorTimeoutOf({ configJson }: JoinReply): number {
  const config: RunConfig = JSON.parse(configJson);
  return config.cluster.coordinatorTimeoutS;
}
