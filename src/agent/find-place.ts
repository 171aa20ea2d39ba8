import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { JOIN_RETRY_MS } from '../config/timeouts.js';
import { asTrainerError, TrainerError } from '../errors.js';
import { isOwnPort } from '../os/tcp-listeners.js';
import {
  type Address,
  advertisedAddress,
  formatAddress,
  isLoopback,
  localAddressTowards,
} from '../rpc/address.js';
import { CoordinatorClient } from '../rpc/coordinator-client.js';
import type { JoinReply } from '../rpc/generated/messages.js';
import { NO_SECURITY, type Security } from '../rpc/security.js';
import { VERSION } from '../rpc/version.js';
import { runLedAt, securityOfRun } from '../run/run-token.js';

/** A coordinator between two generations is back within some 10 ms. */
const FIRST_RETRY_MS = 20;
const ROUTE_TIMEOUT_MS = 3_000;

export interface PlaceOptions {
  readonly coordinator: Address;
  /** Address at which this node listens for its peers. */
  readonly bound: Address;
  readonly advertise: string | undefined;
  /** Credentials of the cluster; null to use those of the run that this user leads at the coordinator's address. */
  readonly security: Security | null;
  /** How long to wait for a coordinator to answer; Infinity for no limit. */
  readonly timeoutMs: number;
  /** Id of this node in the previous generation. */
  readonly formerNode?: number | undefined;
  /** Waits without limit while the run is full. */
  readonly patient: boolean;
  /** Called with the reason for waiting, each time it changes. */
  readonly onWait: (why: string) => void;
}

export interface Place {
  readonly join: JoinReply;
  readonly dataAddress: string;
  /** Connected client; the caller closes it. */
  readonly client: CoordinatorClient;
  /** Credentials by which the nodes of the run authenticate each other. */
  readonly security: Security;
}

/**
 * Joins the coordinator's run; retries with exponential backoff while no coordinator answers.
 *
 * @throws TrainerError `UNAVAILABLE` if none answered in time, `UNAUTHENTICATED` if a certificate or token
 *   fails, `RUN_FULL` or `BAD_INPUT` if it was refused
 */
export async function findPlace(options: PlaceOptions): Promise<Place> {
  const { timeoutMs, patient, onWait } = options;
  let giveUpMs = performance.now() + timeoutMs;
  let told = '';
  let hasLookedAgain = options.security !== null;
  for (let delayMs = FIRST_RETRY_MS; ; delayMs = Math.min(2 * delayMs, JOIN_RETRY_MS)) {
    try {
      return await tryToJoin(options);
    } catch (error) {
      const { code, message } = asTrainerError(error);
      const isFull = code === 'RUN_FULL';
      // The coordinator may have written its token after it was last read.
      const mayBeNew = code === 'UNAUTHENTICATED' && !hasLookedAgain;
      if (mayBeNew) hasLookedAgain = true;
      if (code !== 'UNAVAILABLE' && !(isFull && patient) && !mayBeNew) throw error;
      // The coordinator answered, so the time limit starts again.
      if (isFull) giveUpMs = performance.now() + timeoutMs;
      if (performance.now() + delayMs > giveUpMs)
        throw new TrainerError(code, `${message} Gave up after ${timeoutMs / 1000} s (--join-timeout)`);
      if (message !== told) onWait(message);
      told = message;
    }
    await sleep(delayMs);
  }
}

async function tryToJoin(options: PlaceOptions): Promise<Place> {
  const { coordinator, bound, advertise, formerNode } = options;
  const security = options.security ?? ownSecurity(coordinator);
  const address = await advertisedAddress(bound, advertise, () =>
    localAddressTowards(coordinator, ROUTE_TIMEOUT_MS),
  );
  const dataAddress = formatAddress(address);
  // A new client for each try resolves the name again: the coordinator may come back at another address.
  const client = new CoordinatorClient(formatAddress(coordinator), security);
  try {
    const join = await client.join({
      host: hostname(),
      pid: process.pid,
      dataAddress,
      version: VERSION,
      ...(formerNode === undefined ? {} : { formerNode }),
    });
    return { join, dataAddress, client, security };
  } catch (error) {
    client.close();
    throw error;
  }
}

/**
 * Reads the credentials of the run that this user leads at an address; they are unreadable to other users.
 *
 * @throws TrainerError `UNAVAILABLE` if there is none
 */
function ownSecurity(coordinator: Address): Security {
  const run = runLedAt(coordinator);
  if (run !== null) return securityOfRun(run);
  if (!isLoopback(coordinator.host) || isOwnPort(coordinator.port)) return NO_SECURITY;
  throw new TrainerError(
    'UNAVAILABLE',
    `no coordinator of this user answers at ${formatAddress(coordinator)} yet`,
  );
}
