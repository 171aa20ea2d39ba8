import { setTimeout as sleep } from 'node:timers/promises';
import type { HttpServer } from '@locmoe/logs/http';
import { listRuns } from '@locmoe/run-format';
import { isOfThisMachine, processIdentity } from '@locmoe/run-format/process-identity';
import type { RunOptions } from '../coordinator/planning/run-options.js';
import type { RunOutcome } from '../coordinator/run-view.js';
import { formatDuration } from '../format.js';
import { nextSignal } from '../os/on-signals.js';
import { isRunning } from '../os/process-info.js';
import { formatAddress, parseAddress } from '../rpc/address.js';
import type { PageFeature } from './packages.js';
import { httpUrl } from './page-url.js';

/** This duration covers eight scrapes of Prometheus at an interval of 15 s. */
const DEFAULT_S = 120;
/** This duration covers two scrapes; container runtimes grant about a minute to stop. */
const AFTER_SIGNAL_S = 30;
/** An open page polls twice in this time. */
const LAST_LOOK_MS = 3_000;
const GIVE_WAY_MS = 5_000;
const GIVE_WAY_POLL_MS = 20;

export interface LingerOptions extends Pick<RunOptions, 'http' | 'linger'> {
  /** True if a supervisor restarts this process after a failure. */
  readonly resumeOrStart?: boolean;
}

/**
 * Decides for how many seconds the process keeps serving after the run's end, so that Prometheus, which polls, learns of the end.
 */
export function lingerSeconds(
  { http, linger, resumeOrStart = false }: LingerOptions,
  { kind, isSignalled }: Pick<RunOutcome, 'kind'> & { readonly isSignalled: boolean },
  wasScraped: boolean,
  isTerminal = process.stdout.isTTY === true,
): number {
  if (http === false) return 0;
  // A last scrape shows that the run was stopped and did not fail; a user who sends two signals does not want to wait.
  if (isSignalled && !(wasScraped && kind === 'finished')) return 0;
  if (isSignalled) return typeof linger === 'number' ? Math.min(linger, AFTER_SIGNAL_S) : AFTER_SIGNAL_S;
  // The next process resumes the run, and its metrics count the failures.
  if (kind === 'failed' && resumeOrStart) return 0;
  if (linger !== undefined) return linger === true ? Number.POSITIVE_INFINITY : linger;
  const mayBeScraped = !isTerminal && parseAddress('--http', http).port !== 0;
  return wasScraped || mayBeScraped ? DEFAULT_S : 0;
}

interface LingerPlace {
  /** Server to keep running; null if none. */
  readonly http: HttpServer | null;
  readonly page: PageFeature | null;
  readonly say: (line: string) => void;
  /** Token to print with the address; null to print none. */
  readonly token: string | null;
  /** Resolves once Prometheus has scraped, if that suffices. */
  readonly scraped: Promise<void> | null;
}

/**
 * Keeps serving for the given time, until it is `scraped`, or until the first signal. With a time of 0, an open page
 * still learns how the run ended.
 */
export async function linger(
  seconds: number,
  { http, page, say, token, scraped }: LingerPlace,
): Promise<void> {
  if (http === null) return;
  if (seconds === 0) {
    if (page?.isWatched()) await sleep(LAST_LOOK_MS);
    return;
  }
  const stopped = nextSignal();
  const isEndless = seconds === Number.POSITIVE_INFINITY;
  const until = `${scraped === null ? '' : 'until Prometheus has asked, '}for ${formatDuration(seconds)}`;
  const howLong = isEndless ? 'until Ctrl-C' : `${until}, or until Ctrl-C`;
  say(`the run is over; how it ended is served at ${httpUrl(formatAddress(http.address), token)} ${howLong}`);
  await (isEndless
    ? stopped
    : Promise.race([stopped, sleep(1000 * seconds), ...(scraped === null ? [] : [scraped])]));
}

/**
 * Ends the process that lingers at a port, if it is this user's on this machine and led a run of this folder.
 *
 * @returns whether there was such a process
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
    // The process belongs to another user.
    return false;
  }
  const deadline = performance.now() + GIVE_WAY_MS;
  while (isRunning(pid) && performance.now() < deadline) await sleep(GIVE_WAY_POLL_MS);
  return true;
}
