import {
  type Answer,
  type HttpFeature,
  type HttpServer,
  lokiFeature,
  startHttpServer,
} from '@locmoe/logs/http';
import type { RunOptions } from '../coordinator/planning/run-options.js';
import { asTrainerError, TrainerError } from '../errors.js';
import type { PrometheusMetrics } from '../metrics/prometheus/prometheus-metrics.js';
import { isLoopback, parseAddress } from '../rpc/address.js';
import { VERSION } from '../rpc/version.js';
import { logCatalog } from '../run/run-logs.js';
import { endLingering } from './linger.js';
import { loadPage, type PageFeature } from './packages.js';

export interface RunHttpOptions extends Pick<RunOptions, 'http' | 'runsDir'> {
  /** Page to serve beside logs and metrics; null for none. */
  readonly page: HttpFeature | null;
  /** Description of the token in messages; by default, the cluster's token. */
  readonly tokenName?: string | undefined;
}

const CLUSTER_TOKEN = 'the join token of the cluster';
/** Description of a token that the process has generated. */
export const OWN_TOKEN = "the run's token, which is in the address that `locmoe inspect` prints,";

/**
 * Refuses early, before the data are prepared, options that `startRunHttp` would refuse.
 *
 * @throws TrainerError `BAD_INPUT` beyond loopback without a token
 */
export function assertMayServe(http: RunOptions['http'], token: string | null): void {
  if (http === false || token !== null || isLoopback(parseAddress('--http', http).host)) return;
  throw new TrainerError(
    'BAD_INPUT',
    `--http ${http} can be reached from other machines: give --token-file FILE (locmoe certs makes one), or listen on 127.0.0.1`,
  );
}

/**
 * Loads the page for a run to serve; null if it serves nothing, or if the page cannot be loaded, since a run continues
 * without a page.
 *
 * @param warn called with the reason why there is no page
 */
export async function pageOf(
  { http, runsDir }: Pick<RunOptions, 'http' | 'runsDir'>,
  warn: (line: string) => void,
): Promise<PageFeature | null> {
  if (http === false) return null;
  try {
    return (await loadPage()).pageFeature(runsDir);
  } catch (error) {
    if (!(error instanceof TrainerError)) throw error;
    warn(`logs and metrics are served, but not the page: ${error.message}`);
    return null;
  }
}

/**
 * Serves logs, metrics and the page of runs over HTTP. If a process only lingers at the port, ends that process.
 *
 * @returns null if HTTP is off
 * @throws TrainerError `BAD_INPUT` beyond loopback without a token, `NO_RESOURCE` if the port cannot be bound
 */
export async function startRunHttp(
  { http, runsDir, page, tokenName = CLUSTER_TOKEN }: RunHttpOptions,
  token: string | null,
  metrics: PrometheusMetrics | null,
): Promise<HttpServer | null> {
  if (http === false) return null;
  assertMayServe(http, token);
  const address = parseAddress('--http', http);
  const loki = lokiFeature(logCatalog(runsDir), VERSION);
  metrics?.observers.watch(loki.activity);
  const features: HttpFeature[] = [
    loki,
    ...(page === null ? [] : [page]),
    ...(metrics === null ? [] : [metrics.feature]),
  ];
  const options = {
    name: 'locmoe',
    address,
    option: '--http',
    token,
    tokenName,
    features,
    onAnswer: (answer: Answer) => metrics?.observers.answered(answer),
  };
  try {
    return await startHttpServer(options);
  } catch (error) {
    const isTaken = asTrainerError(error).code === 'NO_RESOURCE';
    if (!isTaken || !(await endLingering(runsDir, address.port))) throw error;
    return startHttpServer(options);
  }
}
