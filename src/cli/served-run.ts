import { lastingOptions } from '../coordinator/planning/resume-command.js';
import type { PlanSettings, RunOptions } from '../coordinator/planning/run-options.js';
import { planRun, unfinishedRun } from '../coordinator/planning/run-plan.js';
import { asTrainerError, exitCodeOf } from '../errors.js';
import { formatNumberOf } from '../format.js';
import { createLogger } from '../logger.js';
import { formatAddress, parseAddress } from '../rpc/address.js';
import { assertMayListen, NO_SECURITY, randomToken, type Security, withOwnToken } from '../rpc/security.js';
import { lastingToken } from '../run/run-token.js';
import { leadCommand } from './lead-command.js';
import { logView } from './log-view.js';
import { printed } from './page-url.js';
import { preparationView, preparationViewOn } from './preparation-view.js';
import { assertMayServe, OWN_TOKEN } from './run-http.js';
import { terminalView } from './terminal-view.js';

export interface ServeOptions extends RunOptions {
  readonly listen: string;
  readonly advertise?: string;
  readonly security: Security;
  /** Folder that `security` was read from. */
  readonly tls?: string;
  readonly tokenFile?: string;
  /** Allows plain text beyond loopback. */
  readonly insecure?: boolean;
  /** How long to wait for all nodes to join, in seconds. */
  readonly joinTimeout: number;
  readonly resumeOrStart: boolean;
  readonly jsonLogs: boolean;
  /** True for one of several tasks (`locmoe launch`): this machine has a node, and all nodes end with the coordinator. */
  readonly isTask?: boolean;
  /** Called once the coordinator listens, with the address at which others reach it. */
  readonly onAddress?: (address: string) => void;
}

/**
 * Leads a run whose nodes are started elsewhere.
 *
 * @returns the exit code of the command
 * @throws TrainerError for errors before a run exists (with `jsonLogs` they are logged instead)
 */
export async function serve(options: ServeOptions): Promise<number> {
  if (!options.jsonLogs) {
    const warn = (line: string) => console.error(`locmoe: ${line}`);
    return serveWith(options, { ...preparationViewOn(process.stdout), warn });
  }
  const logger = createLogger({
    level: 'info',
    origin: { run: '', generation: 0 },
    destination: { write: (line) => process.stdout.write(line) },
  });
  try {
    const say = (line: string) => logger.info(line);
    const write = (text: string) => say(text.trimEnd());
    const { progress } = preparationView({ isTTY: false, columns: () => 80, write });
    return await serveWith(options, { say, progress, warn: (line) => logger.warn(line) });
  } catch (error) {
    const known = asTrainerError(error);
    logger.fatal(known.line);
    return exitCodeOf(known);
  }
}

async function serveWith(
  asked: ServeOptions,
  output: Pick<PlanSettings, 'say' | 'progress' | 'warn'>,
): Promise<number> {
  const { security: given, insecure = false, jsonLogs, isTask = false, onAddress } = asked;
  const listenAt = parseAddress('--listen', asked.listen);
  assertMayListen(listenAt, given, insecure);
  assertMayServe(asked.http, given.token);
  const nodesHere = isTask ? 'one' : 'none';
  const unfinished = asked.resumeOrStart ? await unfinishedRun(asked, nodesHere) : null;
  const options = unfinished === null ? asked : { ...withoutOrigin(asked), resume: unfinished, fork: false };
  const plan = await planRun(options, { nodesHere, security: given, ...output });
  // A resumed run keeps its token, as nodes may outlive its coordinator.
  const own =
    given.token === null ? ((plan.resumed && lastingToken(plan.resumed.folder)) ?? randomToken()) : null;
  const security = given === NO_SECURITY && own !== null ? withOwnToken(own) : given;
  return leadCommand({
    command: isTask ? 'launch' : 'serve',
    options,
    resumeOptions: [...lastingOptions(options), ...servingOptions(options)],
    plan,
    security,
    listenAt,
    listenOption: '--listen',
    advertise: options.advertise,
    isSecured: given !== NO_SECURITY,
    token: own,
    httpToken: own ?? given.token,
    ...(own !== null && { tokenName: OWN_TOKEN }),
    // The token must not appear in a log, nor that of a cluster in a terminal.
    shownToken: jsonLogs || own === null ? null : printed(own),
    output,
    announce(bound, address) {
      output.say(`listening at ${formatAddress(bound)}${security.tls === null ? '' : ' (TLS)'}`);
      onAddress?.(address);
      const nodes = formatNumberOf(plan.config.cluster.nodes, 'node');
      return `waiting for ${nodes}${isTask ? '' : ` (locmoe node --coordinator ${address})`}`;
    },
    nodes: () => ({
      areReplaceable: true,
      joinTimeoutMs: options.joinTimeout * 1000,
      // A supervisor restarts nodes that ended, and those that still run rejoin by themselves.
      start: () => undefined,
      inherit: () => [],
      restart: () => undefined,
      end: ({ current }, graceMs) => current.members.untilGone(graceMs),
    }),
    view: jsonLogs ? logView : terminalView,
  });
}

/** Removes the options about a new run's name and origin, as the text, and thus its recipe, may have grown since. */
function withoutOrigin(options: ServeOptions): ServeOptions {
  const { name, init, inherit, inheritNoise, inheritSeed, text, instruct, ...rest } = options;
  return rest;
}

/** Returns the options that must be repeated when the run is resumed, besides the `lastingOptions`. */
export function servingOptions(options: ServeOptions): string[] {
  const { advertise, tls, tokenFile, insecure, joinTimeout, jsonLogs } = options;
  return [
    '--listen',
    options.listen,
    ...(advertise === undefined ? [] : ['--advertise', advertise]),
    ...(tls ? ['--tls', tls] : []),
    ...(tokenFile ? ['--token-file', tokenFile] : []),
    ...(insecure ? ['--insecure'] : []),
    ...(joinTimeout === 300 ? [] : ['--join-timeout', String(joinTimeout)]),
    ...(jsonLogs ? ['--json-logs'] : []),
  ];
}
