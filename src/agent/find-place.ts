import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { asTrainerError, TrainerError } from '../errors.js';
import { type Address, advertisedAddress, formatAddress, localAddressTowards } from '../rpc/address.js';
import { CoordinatorClient } from '../rpc/coordinator-client.js';
import type { JoinReply } from '../rpc/messages.js';
import type { Security } from '../rpc/security.js';
import { VERSION } from '../rpc/version.js';

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 2_000;
const ROUTE_TIMEOUT_MS = 3_000;

export interface PlaceOptions {
  readonly coordinator: Address;
  /** Where this node listens for its peers. */
  readonly bound: Address;
  readonly advertise: string | undefined;
  readonly security: Security;
  /** How long to wait for a coordinator that answers; Infinity for ever. */
  readonly timeoutMs: number;
  /** Wait also while the run has no place (any more), for as long as that takes. */
  readonly patient: boolean;
  /** Told what is waited for, each time it changes. */
  readonly onWait: (why: string) => void;
}

export interface Place {
  readonly join: JoinReply;
  readonly dataAddress: string;
  /** Still open; the caller closes it. */
  readonly client: CoordinatorClient;
}

/**
 * Finds the coordinator and gets a place in its run, trying again with growing pauses while it cannot be found.
 *
 * @throws TrainerError `UNAVAILABLE` if none answered in time, `UNAUTHENTICATED` if one side does not trust the other,
 *   `RUN_FULL` or `BAD_INPUT` if it was refused
 */
export async function findPlace(options: PlaceOptions): Promise<Place> {
  const { timeoutMs, patient, onWait } = options;
  let giveUpMs = performance.now() + timeoutMs;
  let told = '';
  for (let delayMs = FIRST_RETRY_MS; ; delayMs = Math.min(2 * delayMs, LAST_RETRY_MS)) {
    try {
      return await tryToJoin(options);
    } catch (error) {
      const { code, message } = asTrainerError(error);
      const isFull = code === 'RUN_FULL';
      if (code !== 'UNAVAILABLE' && !(isFull && patient)) throw error;
      // A coordinator that answers is there: the time counts from its last word.
      if (isFull) giveUpMs = performance.now() + timeoutMs;
      if (performance.now() + delayMs > giveUpMs)
        throw new TrainerError(code, `${message} Gave up after ${timeoutMs / 1000} s (--join-timeout)`);
      if (message !== told) onWait(message);
      told = message;
    }
    await sleep(delayMs);
  }
}

async function tryToJoin({ coordinator, bound, advertise, security }: PlaceOptions): Promise<Place> {
  const address = await advertisedAddress(bound, advertise, () =>
    localAddressTowards(coordinator, ROUTE_TIMEOUT_MS),
  );
  const dataAddress = formatAddress(address);
  // A client for each try: its name is resolved anew, for a coordinator that came back elsewhere.
  const client = new CoordinatorClient(formatAddress(coordinator), security);
  try {
    const join = await client.join({ host: hostname(), pid: process.pid, dataAddress, version: VERSION });
    return { join, dataAddress, client };
  } catch (error) {
    client.close();
    throw error;
  }
}
