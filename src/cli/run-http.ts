import {
  type Answer,
  type HttpFeature,
  type HttpServer,
  lokiFeature,
  startHttpServer,
} from '@locmoe/logs/http';
import type { RunOptions } from '../coordinator/run-options.js';
import { asTrainerError, TrainerError } from '../errors.js';
import { metricsFeature } from '../metrics/prometheus/metrics-feature.js';
import type { PrometheusMetrics } from '../metrics/prometheus/prometheus-metrics.js';
import { formatAddress, isLoopback, isWildcard, parseAddress } from '../rpc/address.js';
import type { Security } from '../rpc/security.js';
import { VERSION } from '../rpc/version.js';
import type { RunRecord } from '../run/run-folder.js';
import { logCatalog } from '../run/run-logs.js';
import { endLingering } from './linger.js';
import { loadPage, type PageFeature } from './packages.js';

export interface RunHttpOptions extends Pick<RunOptions, 'http' | 'runsDir'> {
  /** Served for people, beside logs and metrics; null for nothing. */
  readonly page: HttpFeature | null;
}

/** What else `train` can do, which asks for no token. */
const FROM_TRAIN =
  ', and locmoe train asks for no token: listen on 127.0.0.1, and serve the run with locmoe inspect --http HOST:PORT --token-file FILE';

/**
 * Refuses what `startRunHttp` would; before the data are prepared, which may take long.
 *
 * @throws TrainerError `BAD_INPUT` beyond loopback without a token
 */
export function assertMayServe(
  http: RunOptions['http'],
  token: Security['token'],
  canHaveToken = true,
): void {
  if (http === false || token !== null || isLoopback(parseAddress('--http', http).host)) return;
  const remedy = canHaveToken
    ? ': give --token-file FILE (locmoe certs makes one), or listen on 127.0.0.1'
    : FROM_TRAIN;
  throw new TrainerError('BAD_INPUT', `--http ${http} can be reached from other machines${remedy}`);
}

/**
 * The page for a run to serve; null if it serves nothing, or if the page cannot be loaded: a run goes on
 * without it.
 *
 * @param warn told in one line why there is no page
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
 * Serves logs, metrics and the page of runs over HTTP. A process that only lingers at the port gives way.
 *
 * @returns null if that is not wanted
 * @throws TrainerError `BAD_INPUT` beyond loopback without a token, `NO_RESOURCE` if the port cannot be had
 */
export async function startRunHttp(
  { http, runsDir, page }: RunHttpOptions,
  { token }: Pick<Security, 'token'>,
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
    ...(metrics === null ? [] : [metricsFeature(metrics)]),
  ];
  const tokenName = 'the join token of the cluster';
  const options = {
    ...{ name: 'locmoe', address, option: '--http', token, tokenName, features },
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

/** What a run's record says of its HTTP server. */
export function httpPlace(server: HttpServer | null): Pick<RunRecord, 'http'> {
  return server === null ? {} : { http: formatAddress(server.address) };
}

/**
 * The address of the page of a run; 127.0.0.1 for a server that listens at all addresses.
 *
 * @param address host:port of the server
 * @param needsToken says where the token goes; it is never printed itself
 */
export function pageUrl(address: string, runId: string, needsToken = false): string {
  const { host, port } = parseAddress('http', address);
  const place = formatAddress({ host: isWildcard(host) ? '127.0.0.1' : host, port });
  return `http://${place}/${needsToken ? '?token=TOKEN' : ''}#run=${encodeURIComponent(runId)}`;
}
