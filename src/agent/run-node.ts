import { setTimeout as sleep } from 'node:timers/promises';
import { removeStaleSegments } from '../collectives/segment-files.js';
import { EXIT } from '../errors.js';
import { createLogger } from '../logger.js';
import { formatAddress, parseAddress } from '../rpc/address.js';
import { assertMayListen, type Security } from '../rpc/security.js';
import { createRpcServer, listen } from '../rpc/server.js';
import { findPlace } from './find-place.js';
import { NodeAgent } from './node-agent.js';

export interface NodeOptions {
  readonly coordinator: string;
  readonly listen: string;
  readonly advertise?: string | undefined;
  readonly security: Security;
  /** Plain text beyond loopback was asked for. */
  readonly insecure: boolean;
  readonly joinTimeoutS: number;
  /** After a run, wait for the next one. */
  readonly forever: boolean;
  readonly logToStdout: boolean;
  /** Ends the watch over the process that started this one, for the first session tells of that as well. */
  readonly forgetParent: () => void;
}

/** Between two runs; a run that fails at once is not joined in a tight loop. */
const PAUSE_MS = 500;
const STOP_SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/**
 * Is one node of a run, or with `forever` of one run after another.
 *
 * @returns the exit code: 0 if the workers ended well, 3 if the run failed; 0 (`forever`) or 130 for a signal while it
 *   had no run
 * @throws TrainerError for what is wrong with addresses, certificates or token, or if no place was found
 */
export async function runNode(options: NodeOptions): Promise<number> {
  const coordinator = parseAddress('--coordinator', options.coordinator);
  const listenAt = parseAddress('--listen', options.listen);
  assertMayListen(listenAt, options.security, options.insecure);
  removeStaleSegments();
  const rpc = createRpcServer(options.security);
  const bound = await listen(rpc, listenAt, '--listen');
  const logger = createLogger({
    level: 'info',
    origin: { run: '', generation: 0 },
    destination: { write: (line) => options.logToStdout && process.stdout.write(line) },
  });
  const idleCode = options.forever ? EXIT.done : EXIT.interrupted;
  let agent: NodeAgent | null = null;
  let isAsked = false;
  const onSignal = (signal: NodeJS.Signals) => {
    isAsked = true;
    if (agent === null) process.exit(idleCode);
    agent.requestStop(signal);
  };
  for (const signal of STOP_SIGNALS) process.on(signal, onSignal);
  logger.info(`node listens at ${formatAddress(bound)}`);
  try {
    for (let run = 0; ; run++) {
      const place = await findPlace({
        coordinator,
        bound,
        advertise: options.advertise,
        security: options.security,
        timeoutMs: run === 0 ? options.joinTimeoutS * 1000 : Number.POSITIVE_INFINITY,
        patient: options.forever,
        onWait: (why) => logger.info(`waiting: ${why}`),
      });
      // From here on the session tells of the coordinator's end.
      options.forgetParent();
      agent = new NodeAgent({ ...place, rpc, logToStdout: options.logToStdout });
      const code = await agent.ended;
      const { hasStarted } = agent;
      agent = null;
      place.client.close();
      if (isAsked && !hasStarted) return idleCode;
      if (!options.forever || isAsked) return code;
      await sleep(PAUSE_MS);
    }
  } finally {
    for (const signal of STOP_SIGNALS) process.off(signal, onSignal);
    options.forgetParent();
    rpc.server.forceShutdown();
  }
}
