import { hostname } from 'node:os';
import type { HttpServer } from '@locmoe/logs/http';
import { untilGone } from '../coordinator/departure.js';
import { leadRun } from '../coordinator/lead-run.js';
import { lastingOptions } from '../coordinator/planning/resume-command.js';
import type { PlanSettings, RunOptions } from '../coordinator/planning/run-options.js';
import { planRun, unfinishedRun } from '../coordinator/planning/run-plan.js';
import { COMMAND_HOST } from '../coordinator/run-host.js';
import { asTrainerError, exitCodeOf } from '../errors.js';
import { formatNumberOf } from '../format.js';
import { createLogger, type Logger } from '../logger.js';
import { PrometheusMetrics } from '../metrics/prometheus/prometheus-metrics.js';
import { advertisedAddress, formatAddress, isWildcard, parseAddress } from '../rpc/address.js';
import { assertMayListen, NO_SECURITY, randomToken, type Security, withOwnToken } from '../rpc/security.js';
import { createRpcServer, listen } from '../rpc/server.js';
import { lastingToken } from '../run/run-token.js';
import { linger, lingerSeconds } from './linger.js';
import { LogView } from './log-view.js';
import { metricsListeners } from './metrics-listeners.js';
import { printed } from './page-url.js';
import { PreparationView, preparationViewOn } from './preparation-view.js';
import { assertMayServe, httpPlace, OWN_TOKEN, pageOf, startRunHttp } from './run-http.js';
import { TerminalView } from './terminal-view.js';

/** Options of `locmoe serve`. */
export interface ServeOptions extends RunOptions {
  readonly listen: string;
  readonly advertise?: string;
  readonly security: Security;
  /** Folder that `security` was read from. */
  readonly tls?: string;
  readonly tokenFile?: string;
  /** Allows plain text beyond loopback. */
  readonly insecure: boolean;
  readonly joinTimeoutS: number;
  readonly resumeOrStart: boolean;
  readonly jsonLogs: boolean;
}

/**
 * Leads a run whose nodes are started elsewhere.
 *
 * @returns the exit code of the command
 * @throws TrainerError for errors before a run exists (with `jsonLogs` they are logged instead)
 */
export async function serve(options: ServeOptions): Promise<number> {
  if (!options.jsonLogs) {
    const { say, progress } = preparationViewOn(process.stdout);
    return serveWith(options, { say, progress, warn: (line) => console.error(`locmoe: ${line}`) });
  }
  const logger = logBeforeTheRun();
  try {
    const say = (line: string) => logger.info(line);
    const write = (text: string) => say(text.trimEnd());
    const { progress } = new PreparationView({ isTTY: false, columns: () => 80, write });
    return await serveWith(options, { say, progress, warn: (line) => logger.warn(line) });
  } catch (error) {
    const known = asTrainerError(error);
    logger.fatal(known.line);
    return exitCodeOf(known);
  }
}

function logBeforeTheRun(): Logger {
  return createLogger({
    level: 'info',
    origin: { run: '', generation: 0 },
    destination: { write: (line) => process.stdout.write(line) },
  });
}

async function serveWith(
  asked: ServeOptions,
  output: Pick<PlanSettings, 'say' | 'progress' | 'warn'>,
): Promise<number> {
  const { security: given, insecure, jsonLogs } = asked;
  const listenAt = parseAddress('--listen', asked.listen);
  assertMayListen(listenAt, given, insecure);
  assertMayServe(asked.http, given.token);
  const unfinished = asked.resumeOrStart ? await unfinishedRun(asked) : null;
  const options = unfinished === null ? asked : { ...withoutOrigin(asked), resume: unfinished, fork: false };
  const plan = await planRun(options, { nodesAreHere: false, security: given, ...output });
  // A resumed run keeps its token, as nodes may outlive its coordinator.
  const own =
    given.token === null ? ((plan.resumed && lastingToken(plan.resumed.folder)) ?? randomToken()) : null;
  const security = given === NO_SECURITY && own !== null ? withOwnToken(own) : given;
  const rpc = createRpcServer(security);
  const bound = await listen(rpc, listenAt, '--listen');
  const metrics = options.http === false ? null : new PrometheusMetrics();
  let http: HttpServer | null = null;
  try {
    const page = await pageOf(options, output.warn);
    const guard = own === null ? {} : { tokenName: OWN_TOKEN };
    http = await startRunHttp({ ...options, page, ...guard }, own ?? given.token, metrics);
    const address = await advertisedAddress(bound, options.advertise, hostname);
    const numNodes = plan.config.cluster.nodes;
    output.say(`listening at ${formatAddress(bound)}${security.tls === null ? '' : ' (TLS)'}`);
    const place = {
      address: formatAddress(address),
      localAddress: formatAddress({ ...bound, host: isWildcard(bound.host) ? '127.0.0.1' : bound.host }),
      ...httpPlace(http),
      isSecured: given !== NO_SECURITY,
    };
    // The token must not appear in a log, nor that of a cluster in a terminal.
    const token = jsonLogs || own === null ? null : printed(own);
    const viewOptions = {
      place,
      dataset: plan.dataset,
      samples: options.samples,
      announcement: `waiting for ${formatNumberOf(numNodes, 'node')} (locmoe node --coordinator ${place.address})`,
      hasPage: page !== null,
      token,
    };
    const { exitCode, lingerS } = await leadRun({
      command: 'serve',
      options,
      resumeOptions: [...lastingOptions(options), ...servingOptions(options)],
      plan,
      host: COMMAND_HOST,
      rpc,
      place,
      token: own,
      view: (run) => (jsonLogs ? new LogView(run, viewOptions) : new TerminalView(run, viewOptions)),
      listeners: (run) => metricsListeners(run, options, metrics, page),
      lingerS: (outcome) => lingerSeconds(options, outcome, metrics?.wasScraped === true),
      nodes: {
        areReplaceable: true,
        joinTimeoutMs: options.joinTimeoutS * 1000,
        // A supervisor restarts nodes that ended, and those that still run rejoin by themselves.
        start: () => undefined,
        restart: () => undefined,
        end: ({ current }, graceMs) => untilGone(current.members, graceMs),
      },
    });
    rpc.server.forceShutdown();
    await linger(lingerS, { http, page, say: output.say, token });
    return exitCode;
  } finally {
    await http?.close();
    rpc.server.forceShutdown();
    plan.dataset.close();
  }
}

/** Removes the options about a new run's origin: text may have grown since, and its recipe with it. */
function withoutOrigin(options: ServeOptions): ServeOptions {
  const { init, inherit, inheritNoise, inheritSeed, text, instruct, ...rest } = options;
  return rest;
}

/** Options that must be repeated when the run is resumed, beside the `lastingOptions`. */
export function servingOptions({
  listen: at,
  advertise,
  tls,
  tokenFile,
  insecure,
  joinTimeoutS,
  jsonLogs,
}: ServeOptions): string[] {
  return [
    ...['--listen', at],
    ...(advertise === undefined ? [] : ['--advertise', advertise]),
    ...(tls ? ['--tls', tls] : []),
    ...(tokenFile ? ['--token-file', tokenFile] : []),
    ...(insecure ? ['--insecure'] : []),
    ...(joinTimeoutS === 300 ? [] : ['--join-timeout', String(joinTimeoutS)]),
    ...(jsonLogs ? ['--json-logs'] : []),
  ];
}
