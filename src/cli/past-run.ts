import {
  type FailureReport,
  generationsOf,
  lastRecords,
  numStepsOf,
  type RunFolder,
  type RunGeneration,
  type RunRecord,
  readJournal,
  restartCostsOf,
} from '@locmoe/run-format';
import { z } from 'zod';
import { committedFolders, NOTHING_SAVED } from '../checkpoint/folders.js';
import { printable } from '../format.js';
import { fromHere, locmoeCommand, recordedCommand } from '../os/command-line.js';
import { failureLines } from './failure-lines.js';
import { generationLines } from './generation-lines.js';

/** The fields that the length of a run depends on. The schema of all fields loads the routers and kernels too. */
const lengthSchema = z.object({
  model: z.object({ seqLen: z.number() }),
  train: z.object({ steps: z.number(), globalBatch: z.number(), maxTokens: z.number().nullable() }),
});

/** State of a run that is over. */
export interface PastRun {
  readonly folder: RunFolder;
  readonly record: RunRecord;
  /** `stopped`: somebody ended it early; `dead`: its coordinator ended without a record. */
  readonly state: 'finished' | 'stopped' | 'failed' | 'dead';
  /** Last recorded step; 0 for none. */
  readonly step: number;
  /** Step at which the run would have ended; null if its configuration cannot be read. */
  readonly steps: number | null;
  /** Loss of `step`; null if it has none. */
  readonly loss: number | null;
  /** Report of the run's failure; null if the run did not fail, or nothing could be reported. */
  readonly failure: FailureReport | null;
  readonly generations: readonly RunGeneration[];
}

export function pastRun({ folder, record }: Pick<PastRun, 'folder' | 'record'>): PastRun {
  const last = lastRecords(folder.metrics).findLast((each) => each.type === 'step');
  const config = folder.readConfig(lengthSchema);
  const state = stateOf(record);
  return {
    folder,
    record,
    state,
    step: last?.step ?? 0,
    loss: last?.loss ?? null,
    steps: config === null ? null : numStepsOf(config),
    failure: state === 'failed' ? failureOf(folder) : null,
    generations: generationsOf(readJournal(folder.journal)),
  };
}

/** Returns the failure report, with commands that are safe to paste even if a stranger wrote the report. */
function failureOf(folder: RunFolder): FailureReport | null {
  const failure = folder.readFailure();
  if (failure === null) return null;
  const place = fromHere(folder.directory);
  const resume = failure.resumeCommand;
  return {
    ...failure,
    resumeCommand: resume && (recordedCommand(resume) ?? locmoeCommand(['train', '--resume', place])),
    logsCommand: recordedCommand(failure.logsCommand) ?? locmoeCommand(['logs', '--run', place]),
  };
}

/** Returns the state of a run whose coordinator is not alive. */
export function stateOf({ state, stopped }: RunRecord): PastRun['state'] {
  if (state === 'finished') return stopped === undefined ? 'finished' : 'stopped';
  return state === 'failed' ? 'failed' : 'dead';
}

export function jsonOf({ folder, record, generations, ...rest }: PastRun): object {
  return { ...record, runDir: folder.directory, ...rest, ...restartCostsOf(generations), generations };
}

function resumeOf({ folder, record }: PastRun, place: string): string {
  if (committedFolders(folder.checkpoints).length === 0) return NOTHING_SAVED;
  return recordedCommand(record.resumeCommand ?? '') ?? locmoeCommand(['train', '--resume', place]);
}

export function pastRunLines(run: PastRun): string[] {
  const { folder, record, state, step, steps, loss, failure, generations } = run;
  const place = fromHere(folder.directory);
  const why = {
    finished: '',
    stopped: ` by ${record.stopped}`,
    failed: failure === null ? '' : ` (${failure.code})`,
    dead: ' (its coordinator is gone)',
  };
  const lines = [
    `${record.runId}: ${state}${why[state]}`,
    `  step ${step}${steps === null ? '' : `/${steps}`}${loss === null ? '' : `  loss ${loss.toFixed(3)}`}`,
    `  started ${record.startedAt}`,
    `  folder  ${folder.directory}`,
    ...(failure === null ? [] : failureLines(failure, process.stdout.columns)),
    ...(state === 'dead' || state === 'stopped' ? [`  resume: ${resumeOf(run, place)}`] : []),
    `  look: ${locmoeCommand(['inspect', '--run', place])}`,
    ...generationLines(generations, step),
  ];
  return lines.map(printable);
}
