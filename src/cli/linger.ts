import { setTimeout as sleep } from 'node:timers/promises';
import type { HttpServer } from '@locmoe/logs/http';
import type { RunOptions } from '../coordinator/planning/run-options.js';
import type { RunOutcome } from '../coordinator/run-view.js';
import { formatDuration } from '../format.js';
import { nextSignal } from '../os/on-signals.js';
import { isOfThisMachine, isRunning, processIdentity } from '../os/process-info.js';
import { formatAddress, parseAddress } from '../rpc/address.js';
import { listRuns } from '../run/run-folder.js';
import type { PageFeature } from './packages.js';
import { httpUrl } from './page-url.js';

/** Eight scrapes of Prometheus at an interval of 15 s. */
const DEFAULT_S = 120;
/** A page that is open asks twice in this time. */
const LAST_LOOK_MS = 3_000;
const GIVE_WAY_MS = 5_000;
const GIVE_WAY_POLL_MS = 20;

export interface LingerOptions extends Pick<RunOptions, 'http' | 'linger'> {
  /** What started this process starts another one after a failure. */
  readonly resumeOrStart?: boolean;
}

/**
 * For how many seconds a process serves how its run ended, so that Prometheus, which asks now and then, learns of it.
 */
export function lingerSeconds(
  { http, linger, resumeOrStart = false }: LingerOptions,
  { kind }: Pick<RunOutcome, 'kind'>,
  wasScraped: boolean,
  isTerminal = process.stdout.isTTY === true,
): number {
  if (http === false) return 0;
  // The process that is started next goes on with the run, and counts its failures.
  if (kind === 'failed' && resumeOrStart) return 0;
  if (linger !== undefined) return linger === true ? Number.POSITIVE_INFINITY : linger;
  const mayBeScraped = !isTerminal && parseAddress('--http', http).port !== 0;
  return wasScraped || mayBeScraped ? DEFAULT_S : 0;
}

interface LingerPlace {
  /** Serves the run; null for nothing. */
  readonly http: HttpServer | null;
  readonly page: PageFeature | null;
  readonly say: (line: string) => void;
  /** To be printed with the address; null for not at all. */
  readonly token: string | null;
}

/**
 * Goes on to serve for so many seconds, or until the first signal. Where it is none, a page that is open somewhere
 * still learns how the run ended.
 */
export async function linger(seconds: number, { http, page, say, token }: LingerPlace): Promise<void> {
  if (http === null) return;
  if (seconds === 0) {
    if (page?.isWatched()) await sleep(LAST_LOOK_MS);
    return;
  }
  const stopped = nextSignal();
  const isEndless = seconds === Number.POSITIVE_INFINITY;
  const howLong = isEndless ? 'until Ctrl-C' : `for ${formatDuration(seconds)}, or until Ctrl-C`;
  say(`the run is over; how it ended is served at ${httpUrl(formatAddress(http.address), token)} ${howLong}`);
  await (isEndless ? stopped : Promise.race([stopped, sleep(1000 * seconds)]));
}

/**
 * Ends the process that lingers at a port, if it is this user's on this machine and led a run of this folder.
 *
 * @returns whether there was one
 */
export async function endLingering(runsDir: string, port: number): Promise<boolean> {
  const lingering = listRuns(runsDir).find(
    ({ record: { lingers, http, pid, process: identity, ...record } }) =>
      lingers === true &&
      http?.endsWith(`:${port}`) &&
      isOfThisMachine(record) &&
      isRunning(pid) &&
      processIdentity(pid) === identity,
  );
  if (lingering === undefined) return false;
  const { pid } = lingering.record;
  try {
    process.kill(pid, 'SIGTERM');
  } catch {
    // Another user's.
    return false;
  }
  const deadline = performance.now() + GIVE_WAY_MS;
  while (isRunning(pid) && performance.now() < deadline) await sleep(GIVE_WAY_POLL_MS);
  return true;
}
