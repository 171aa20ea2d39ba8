import { hostname } from 'node:os';
import type { HttpServer } from '@locmoe/logs/http';
import { generationsOf, readJournal, restartCostsOf } from '@locmoe/run-format';
import { leadRun } from '../coordinator/lead-run.js';
import type { PlanSettings, RunOptions } from '../coordinator/planning/run-options.js';
import { COMMAND_HOST } from '../coordinator/run-host.js';
import type { Nodes, RunLaunch } from '../coordinator/run-launch.js';
import type { OpenRun, RunView } from '../coordinator/run-view.js';
import { PrometheusMetrics } from '../metrics/prometheus/prometheus-metrics.js';
import { TensorboardExport } from '../metrics/tensorboard/tensorboard-export.js';
import { type Address, advertisedAddress, formatAddress, isWildcard } from '../rpc/address.js';
import type { Security } from '../rpc/security.js';
import { createRpcServer, listen } from '../rpc/server.js';
import type { RunListener } from '../run/run-listener.js';
import { type LingerOptions, linger, lingerSeconds } from './linger.js';
import type { PageFeature } from './packages.js';
import { pageOf, startRunHttp } from './run-http.js';
import type { ViewOptions } from './run-lines.js';

/** Time for the answer to the last scrape to be sent. */
const LAST_ANSWER_MS = 1_000;

export interface LedCommand extends Pick<RunLaunch, 'command' | 'resumeOptions' | 'plan' | 'token'> {
  readonly options: RunOptions & LingerOptions;
  /** Credentials of the coordinator's server; its address and the option that sets it; the address for others. */
  readonly security: Security;
  readonly listenAt: Address;
  readonly listenOption: string;
  readonly advertise?: string | undefined;
  /** True if the user gave the credentials, and also passes them to agents and commands. */
  readonly isSecured: boolean;
  /** Token that guards HTTP, and its description in messages. */
  readonly httpToken: string | null;
  readonly tokenName?: string;
  /** Token to print with addresses; null to print none. */
  readonly shownToken: string | null;
  readonly output: Pick<PlanSettings, 'say' | 'warn'>;
  /** Called with the address once the coordinator listens; returns the first action of the run, in words. */
  readonly announce: (bound: Address, address: string) => string;
  readonly nodes: (address: string) => Nodes;
  readonly view: (run: OpenRun, options: ViewOptions) => RunView;
}

/**
 * Leads a planned run for a command, serves it over HTTP, and lingers.
 *
 * @returns the exit code of the command
 * @throws TrainerError if it cannot listen at an address, before the run exists
 */
export async function leadCommand({ output, shownToken: token, ...led }: LedCommand): Promise<number> {
  const { options, plan } = led;
  const rpc = createRpcServer(led.security);
  const metrics = options.http === false ? null : new PrometheusMetrics();
  let http: HttpServer | null = null;
  try {
    // The port is taken first, so that a run that cannot have it leaves no folder.
    const bound = await listen(rpc, led.listenAt, led.listenOption);
    const page = await pageOf(options, output.warn);
    http = await startRunHttp({ ...options, page, tokenName: led.tokenName }, led.httpToken, metrics);
    const address = formatAddress(await advertisedAddress(bound, led.advertise, hostname));
    const place = {
      address,
      localAddress: formatAddress({ ...bound, host: isWildcard(bound.host) ? '127.0.0.1' : bound.host }),
      ...(http !== null && { http: formatAddress(http.address) }),
      isSecured: led.isSecured,
    };
    const viewOptions = {
      place,
      dataset: plan.dataset,
      runsDir: options.runsDir,
      samples: options.samples,
      announcement: led.announce(bound, address),
      hasPage: page !== null,
      token,
    };
    const { exitCode, lingerS, isSignalled } = await leadRun({
      ...led,
      host: COMMAND_HOST,
      rpc,
      place,
      nodes: led.nodes(address),
      view: (run) => led.view(run, viewOptions),
      listeners: (run) => metricsListeners(run, options, metrics, page),
      lingerS: (outcome) => lingerSeconds(options, outcome, metrics?.wasScraped === true),
    });
    rpc.close();
    const scraped = isSignalled ? (metrics?.scraped() ?? null) : null;
    await linger(lingerS, { http, page, say: output.say, token, scraped });
    return exitCode;
  } finally {
    await http?.drain(LAST_ANSWER_MS);
    rpc.close();
    plan.dataset.close();
  }
}

/**
 * Creates the listeners that export a run's metrics.
 *
 * @throws the file system's error if no file for TensorBoard can be created
 */
function metricsListeners(
  { identity: { runId, generation, config }, folder, logger, disk, totals, resumedFrom }: OpenRun,
  { tensorboard: directory }: Pick<RunOptions, 'tensorboard'>,
  prometheus: PrometheusMetrics | null,
  page: PageFeature | null,
): RunListener[] {
  const earlier = {
    earlierFailures: folder.failures().map(({ code }) => code),
    earlierCosts: restartCostsOf(generationsOf(readJournal(folder.journal))),
  };
  const { budget } = totals;
  return [
    ...(prometheus?.begin({ runId, generation, config, resumedFrom, budget, disk, ...earlier }) ?? []),
    ...(page === null ? [] : [page.follow(runId, { disk, totals })]),
    ...(directory === undefined ? [] : [new TensorboardExport({ directory, runId, resumedFrom, logger })]),
  ];
}
