import type { FailureReport } from '@locmoe/run-format';
import { committedFolders } from '../checkpoint/folders.js';
import { fromHere, locmoeCommand } from '../os/command-line.js';
import type { RunFailure } from './coordinator-options.js';
import { type FailedGeneration, resumptionOf } from './planning/resume-command.js';
import type { RunPlan } from './planning/run-options.js';
import { leadsToFailure } from './planning/suspect-checkpoint.js';

export interface FailureReportOptions
  extends Pick<FailureReport, 'generation' | 'host' | 'suspectCheckpoint' | 'logsCommand' | 'notRestarted'> {
  readonly failure: RunFailure;
  readonly resumption: ReturnType<typeof resumptionOf>;
}

/** Returns the rank, node and step to blame, as far as they are known: the fields of log lines about a failure. */
export function blamed(failure: Pick<RunFailure, 'culprit' | 'error'>): {
  readonly node: number | undefined;
  readonly rank: number | undefined;
  readonly step: number | undefined;
} {
  const { culprit, error } = failure;
  return {
    node: culprit?.node ?? error.context.node,
    // A node agent to blame has no rank.
    rank: culprit === null ? error.context.rank : (culprit.rank ?? undefined),
    step: failedStep(failure) ?? undefined,
  };
}

/** Returns the step that the culprit was in; null if it was in none. */
function failedStep({ culprit, error }: Pick<RunFailure, 'culprit' | 'error'>): number | null {
  return culprit?.step ?? error.context.step ?? null;
}

export function failureReport({ failure, resumption, ...known }: FailureReportOptions): FailureReport {
  const { error, culprit, ranks, timeMs } = failure;
  const { context } = error;
  const { rank, layer, operation } = culprit ?? context;
  return {
    ...known,
    time: timeMs,
    code: error.code,
    message: error.line.replace(/\s*\n\s*/g, ' '),
    rank: rank ?? null,
    node: culprit?.node ?? context.node ?? null,
    pid: culprit?.pid ?? null,
    exitCode: culprit?.exitCode ?? null,
    signal: culprit?.signal ?? null,
    step: failedStep(failure),
    layer: layer ?? null,
    operation: operation ?? null,
    checkpoint: resumption?.checkpoint ?? null,
    resumeCommand: resumption?.command ?? null,
    silentMs: culprit === null || culprit.rank === context.rank ? null : silenceOf(culprit.rank, ranks),
    ranks: ranks.map(({ rank, node, step, phase, operation, processState, lastHeardMs }) => ({
      rank,
      node,
      step,
      phase,
      operation,
      processState,
      lastHeardMs: Math.round(lastHeardMs),
    })),
  };
}

function silenceOf(culprit: number | null, ranks: RunFailure['ranks']): number | null {
  const heard = ranks.find(({ rank }) => rank === culprit)?.lastHeardMs;
  return heard === undefined ? null : Math.round(heard);
}

interface Failed extends Omit<FailedGeneration, 'config' | 'failure'> {
  readonly plan: RunPlan;
  /** Host of the culprit's node. */
  readonly host: string | null;
  readonly notRestarted: string | null;
}

/** Explains why a run failed and how to resume it, and writes that to the run's folder. */
export function explainFailure(
  failure: RunFailure,
  { plan, host, notRestarted, ...failed }: Failed,
): FailureReport {
  const { folder, generation, startedFrom } = failed;
  const { code, context } = failure.error;
  const operation = failure.culprit?.operation ?? context.operation ?? null;
  const known = { code, step: failedStep(failure), operation };
  const report = failureReport({
    failure,
    generation,
    host,
    notRestarted,
    resumption: resumptionOf({ ...failed, config: plan.config, failure: known }),
    suspectCheckpoint:
      [startedFrom, ...committedFolders(folder.checkpoints)].find(
        (one) => one !== null && leadsToFailure(one, known),
      ) ?? null,
    logsCommand: locmoeCommand(['logs', '--run', fromHere(folder.directory), '--level', 'warn']),
  });
  try {
    folder.writeFailure(report);
  } catch {
    // The run may have failed because its folder cannot be written; the report is shown all the same.
  }
  return report;
}
