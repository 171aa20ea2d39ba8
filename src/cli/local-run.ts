import type { HttpServer } from '@locmoe/logs/http';
import { leadRun } from '../coordinator/lead-run.js';
import { lastingOptions } from '../coordinator/planning/resume-command.js';
import type { RunOptions } from '../coordinator/planning/run-options.js';
import { planRun } from '../coordinator/planning/run-plan.js';
import { COMMAND_HOST } from '../coordinator/run-host.js';
import { PrometheusMetrics } from '../metrics/prometheus/prometheus-metrics.js';
import { formatAddress } from '../rpc/address.js';
import { loadToken, NO_SECURITY, randomToken, withOwnToken } from '../rpc/security.js';
import { createRpcServer, listen } from '../rpc/server.js';
import { linger, lingerSeconds } from './linger.js';
import { localNodes } from './local-cluster.js';
import { metricsListeners } from './metrics-listeners.js';
import { printed } from './page-url.js';
import { preparationViewOn } from './preparation-view.js';
import { assertMayServe, httpPlace, OWN_TOKEN, pageOf, startRunHttp } from './run-http.js';
import { ensureTensorFlow } from './set-up.js';
import { TerminalView } from './terminal-view.js';

/** Options of `locmoe train`. */
export interface TrainOptions extends RunOptions {
  readonly port: number;
  /** File with the token that guards the run; a token is made if undefined. */
  readonly tokenFile?: string;
}

/**
 * Trains on this machine: a coordinator in this process, node agents and workers as its children, all on loopback, with
 * a token that keeps other users of the machine out.
 *
 * @returns the exit code of the command
 * @throws TrainerError for errors before a run exists: configuration, data, checkpoint, port, folder
 */
export async function train(options: TrainOptions): Promise<number> {
  const warn = (line: string) => console.error(`locmoe: ${line}`);
  const token = options.tokenFile === undefined ? randomToken() : loadToken(options.tokenFile);
  assertMayServe(options.http, token);
  const { say, progress } = preparationViewOn(process.stdout);
  const plan = await planRun(options, { nodesAreHere: true, security: NO_SECURITY, say, progress, warn });
  // A wrong configuration is reported before hundreds of megabytes are fetched.
  await ensureTensorFlow();
  const rpc = createRpcServer(withOwnToken(token));
  // The port is taken first, so that a run that cannot have it leaves no folder.
  const address = formatAddress(await listen(rpc, { host: '127.0.0.1', port: options.port }, '--port'));
  const metrics = options.http === false ? null : new PrometheusMetrics();
  let http: HttpServer | null = null;
  try {
    const page = await pageOf(options, warn);
    http = await startRunHttp({ ...options, page, tokenName: OWN_TOKEN }, token, metrics);
    const place = { address, ...httpPlace(http), isSecured: false };
    const { exitCode, lingerS } = await leadRun({
      command: 'train',
      options,
      resumeOptions: [
        ...lastingOptions(options),
        ...(options.port === 0 ? [] : ['--port', String(options.port)]),
        ...(options.tokenFile === undefined ? [] : ['--token-file', options.tokenFile]),
      ],
      plan,
      host: COMMAND_HOST,
      rpc,
      place,
      token,
      view: (run) =>
        new TerminalView(run, {
          place,
          dataset: plan.dataset,
          samples: options.samples,
          announcement: 'starting the workers',
          hasPage: page !== null,
          token: printed(token),
        }),
      listeners: (run) => metricsListeners(run, options, metrics, page),
      lingerS: (outcome) => lingerSeconds(options, outcome, metrics?.wasScraped === true),
      nodes: localNodes(plan.config, address, options.allowFaults ? ['--allow-faults'] : []),
    });
    rpc.server.forceShutdown();
    await linger(lingerS, { http, page, say, token: printed(token) });
    return exitCode;
  } finally {
    await http?.close();
    rpc.server.forceShutdown();
    plan.dataset.close();
  }
}
