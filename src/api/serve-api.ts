import { statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type HttpFeature, type HttpServer, startHttpServer } from '@locmoe/logs/http';
import type { Inference } from '../inference/inference.js';
import { ApiMetrics } from '../metrics/prometheus/api-metrics.js';
import { ApiError } from './api-error.js';
import { apiFeature } from './api-feature.js';
import { Scheduler, type SchedulerOptions } from './scheduler.js';
import { ServedModels } from './served-models.js';

export interface ServeApiOptions extends SchedulerOptions {
  readonly host: string;
  /** Port; 0 for a free one. */
  readonly port: number;
  /** Token that callers must give; null for none, on loopback only. */
  readonly token: string | null;
  /** Example prompts by domain id, for the page. */
  readonly examples: readonly (readonly string[])[];
  /** Page for people, at `/`; null for none. */
  readonly page: HttpFeature | null;
  /** Time for one request, in seconds. */
  readonly requestTimeout: number;
}

export interface ApiServer {
  readonly address: HttpServer['address'];
  /** Names of the models, by domain. */
  readonly models: readonly string[];
  /** Refuses new requests; resolves when all accepted requests are answered, or after `withinMs`. */
  close(withinMs: number): Promise<void>;
}

/**
 * Serves a checkpoint with OpenAI's API.
 *
 * @throws LogsError `BAD_INPUT` beyond loopback without a token, `NO_RESOURCE` if the port cannot be opened
 */
export async function serveApi(inference: Inference, options: ServeApiOptions): Promise<ApiServer> {
  const { decoder, tokenizer, config, checkpoint } = inference;
  const { host, port, token, examples, page, requestTimeout: requestTimeoutS } = options;
  const scheduler = new Scheduler(decoder, config.model.dModel, options);
  const models = new ServedModels(checkpoint, statSync(checkpoint.folder).mtimeMs, examples);
  const metrics = new ApiMetrics(checkpoint.manifest.runId, () => scheduler.state);
  const { seqLen } = config.model;
  const server = await startHttpServer({
    name: 'locmoe',
    address: { host, port },
    option: '--port',
    token,
    tokenName: 'the token of this server',
    // The API comes last, as it answers every path that no other feature does.
    features: [
      ...(page === null ? [] : [page]),
      metrics.feature,
      apiFeature({ decoder, tokenizer, scheduler, models, metrics, seqLen, requestTimeoutS }),
    ],
    refuse: ({ status, reason }) =>
      new ApiError(status, reason, status === 401 ? { code: 'invalid_api_key' } : {}).response,
  });
  return {
    address: server.address,
    models: models.names,
    async close(withinMs) {
      const started = performance.now();
      await Promise.race([scheduler.close(), sleep(withinMs, undefined, { ref: false })]);
      await server.drain(Math.max(0, withinMs - (performance.now() - started)));
    },
  };
}
