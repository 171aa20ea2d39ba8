import { lastingOptions } from '../coordinator/planning/resume-command.js';
import type { RunOptions } from '../coordinator/planning/run-options.js';
import { planRun } from '../coordinator/planning/run-plan.js';
import { localNodes } from '../local/local-cluster.js';
import { ensureTensorFlow } from '../local/set-up.js';
import { loadToken, NO_SECURITY, randomToken, withOwnToken } from '../rpc/security.js';
import { leadCommand } from './lead-command.js';
import { printed } from './page-url.js';
import { preparationViewOn } from './preparation-view.js';
import { assertMayServe, OWN_TOKEN } from './run-http.js';
import { terminalView } from './terminal-view.js';

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
  const { port, tokenFile } = options;
  const token = tokenFile === undefined ? randomToken() : loadToken(tokenFile);
  assertMayServe(options.http, token);
  const output = {
    ...preparationViewOn(process.stdout),
    warn: (line: string) => console.error(`locmoe: ${line}`),
  };
  const plan = await planRun(options, { nodesHere: 'all', security: NO_SECURITY, ...output });
  // A wrong configuration is reported before hundreds of megabytes are fetched.
  await ensureTensorFlow();
  return leadCommand({
    command: 'train',
    options,
    resumeOptions: [
      ...lastingOptions(options),
      ...(port === 0 ? [] : ['--port', String(port)]),
      ...(tokenFile === undefined ? [] : ['--token-file', tokenFile]),
    ],
    plan,
    security: withOwnToken(token),
    listenAt: { host: '127.0.0.1', port },
    listenOption: '--port',
    isSecured: false,
    token,
    httpToken: token,
    tokenName: OWN_TOKEN,
    shownToken: printed(token),
    output,
    announce: () => 'starting the workers',
    nodes: (address) => localNodes(plan.config, address, options.allowFaults ? ['--allow-faults'] : []),
    view: terminalView,
  });
}
