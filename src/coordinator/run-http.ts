import { type HttpFeature, type HttpServer, startHttpServer } from '../observability/http/http-server.js';
import type { LogCatalog } from '../observability/logs/run-logs.js';
import { lokiFeature } from '../observability/loki/loki-feature.js';
import { formatAddress, parseAddress } from '../rpc/address.js';
import type { Security } from '../rpc/security.js';
import { listRuns, type RunRecord } from './run-folder.js';
import type { RunOptions } from './run-plan.js';

/**
 * Opens what people and their tools read of runs over HTTP.
 *
 * @returns null if that is not wanted
 * @throws TrainerError as `startHttpServer`
 */
export async function startRunHttp(
  { http, runsDir }: Pick<RunOptions, 'http' | 'runsDir'>,
  { token }: Pick<Security, 'token'>,
): Promise<HttpServer | null> {
  if (http === false) return null;
  const features: HttpFeature[] = [lokiFeature(logCatalog(runsDir))];
  return startHttpServer({ address: parseAddress('--http', http), option: '--http', token, features });
}

/** The logs of all runs in a folder. */
export function logCatalog(runsDir: string): LogCatalog {
  return {
    runs: () => listRuns(runsDir).map(({ folder }) => ({ run: folder.runId, directory: folder.logs })),
  };
}

/** What a run's record says of its HTTP server. */
export function httpPlace(server: HttpServer | null): Pick<RunRecord, 'http'> {
  return server === null ? {} : { http: formatAddress(server.address) };
}
