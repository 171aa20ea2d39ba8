import '../local/quiet-libraries.js';
import { parseRecord } from '@locmoe/logs';
import { type FailureReport, numStepsOf } from '@locmoe/run-format';
import { leadRun } from '../coordinator/lead-run.js';
import { lastingOptions } from '../coordinator/planning/resume-command.js';
import type { RunOptions } from '../coordinator/planning/run-options.js';
import { planRun } from '../coordinator/planning/run-plan.js';
import { hostedBy } from '../coordinator/run-host.js';
import type { OpenRun, RunView } from '../coordinator/run-view.js';
import { type ErrorCode, TrainerError } from '../errors.js';
import { localNodes } from '../local/local-cluster.js';
import { ensureTensorFlow } from '../local/set-up.js';
import { formatAddress } from '../rpc/address.js';
import { NO_SECURITY, randomToken, withOwnToken } from '../rpc/security.js';
import { createRpcServer, listen } from '../rpc/server.js';
import { assignments, type TrainingEvent, type TrainingResult, type TrainOptions } from './training.js';

/** Does what `train` promises. `train` imports this file lazily, as it loads gRPC and all else that a run needs. */
export async function leadHere(
  { set = {}, signal, ...asked }: TrainOptions,
  tell: (event: TrainingEvent) => void,
): Promise<TrainingResult> {
  signal?.throwIfAborted();
  const options: RunOptions = {
    fork: false,
    runsDir: 'runs',
    dataDir: 'data',
    ...asked,
    set: assignments(set),
    samples: false,
    allowFaults: false,
    http: false,
  };
  const plan = await planRun(options, {
    nodesHere: 'all',
    security: NO_SECURITY,
    say: (text) => tell({ type: 'message', text }),
    progress: () => undefined,
    warn: (text) => tell({ type: 'warning', text }),
    // Given an AbortSignal, the preparation does not listen for the signals of this process.
    signal: signal ?? new AbortController().signal,
  });
  try {
    await ensureTensorFlow();
    signal?.throwIfAborted();
    const token = randomToken();
    const rpc = createRpcServer(withOwnToken(token));
    try {
      const address = formatAddress(await listen(rpc, { host: '127.0.0.1', port: 0 }, 'port'));
      let led: OpenRun | undefined;
      const outcome = await leadRun({
        command: 'train',
        options,
        resumeOptions: lastingOptions(options),
        plan,
        host: hostedBy(signal),
        rpc,
        place: { address, isSecured: false },
        token,
        view(run) {
          led = run;
          return eventView(run, tell);
        },
        listeners: () => [],
        lingerS: () => 0,
        nodes: localNodes(plan.config, address, []),
      });
      if (outcome.kind === 'failed') throw failureOf(outcome.report);
      const { folder, totals } = led!;
      return {
        runId: folder.runId,
        directory: folder.directory,
        step: totals.lastStep,
        validation: totals.lastValidation?.domains ?? [],
        checkpoint: totals.lastCheckpoint?.directory ?? null,
        stopped: outcome.stopped,
      };
    } finally {
      rpc.close();
    }
  } finally {
    plan.dataset.close();
  }
}

function failureOf({ code, message, node, rank, step, layer, operation }: FailureReport): TrainerError {
  return new TrainerError(code as ErrorCode, message, {
    node: node ?? undefined,
    rank: rank ?? undefined,
    step: step ?? undefined,
    layer: layer ?? undefined,
    operation: operation ?? undefined,
  });
}

/** Turns a run into events. */
function eventView({ logs, folder, identity }: OpenRun, tell: (event: TrainingEvent) => void): RunView {
  const { runId, directory } = folder;
  return {
    close: logs.onAppend((line) => {
      const record = parseRecord(line);
      if (record?.level === 'warn') tell({ type: 'warning', text: record.msg });
    }),
    begun: () => tell({ type: 'started', runId, directory, steps: numStepsOf(identity.config) }),
    step: (step, { steps, tokensPerS, secondsLeft }) =>
      tell({ type: 'step', ...step, steps, tokensPerS, secondsLeft }),
    validation: (report) => tell({ type: 'validation', ...report }),
    checkpoint: (report) => tell({ type: 'checkpoint', ...report }),
    restarts: (failure, restartsLeft) => tell({ type: 'failure', failure, restartsLeft }),
    generation: (generation) => tell({ type: 'restart', ...generation }),
    print: (text) => tell({ type: 'message', text }),
    // The caller of `leadRun` reports how the run ended.
    failed: () => undefined,
    finished: async () => undefined,
  };
}
