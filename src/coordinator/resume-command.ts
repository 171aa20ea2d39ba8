import path from 'node:path';
import { committedFolders, generationOf } from '../checkpoint/index.js';
import type { FailureReport } from './failure-report.js';
import type { RunFolder } from './run-folder.js';
import type { RunOptions } from './run-plan.js';
import { leadsToFailure } from './suspect-checkpoint.js';

/** The words of a command line that others can paste into a shell. */
export function commandLine(words: readonly string[]): string {
  return words.map(quote).join(' ');
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Options of a run that a later generation has to be given again: its configuration comes from the checkpoint. */
export function lastingOptions({ runsDir, dataDir, samples, http, tensorboard }: RunOptions): string[] {
  return [
    ...(runsDir === 'runs' ? [] : ['--runs-dir', runsDir]),
    ...(dataDir === 'data' ? [] : ['--data-dir', dataDir]),
    ...(samples ? [] : ['--no-samples']),
    ...(http === false ? ['--no-http'] : http === '127.0.0.1:0' ? [] : ['--http', http]),
    ...(tensorboard === undefined ? [] : ['--tensorboard', tensorboard]),
  ];
}

export interface FailedGeneration {
  readonly command: 'train' | 'serve';
  readonly options: RunOptions;
  /** What the command needs beside what is to be trained. */
  readonly resumeOptions: readonly string[];
  readonly folder: RunFolder;
  readonly generation: number;
  /** Folder of the checkpoint that the generation started from; null for a new run. */
  readonly startedFrom: string | null;
  readonly failure: Pick<FailureReport, 'code' | 'step'>;
}

/** Where a run that failed goes on, and the command that does it; null if there is no checkpoint to go on from. */
export function howToGoOn({
  command,
  options,
  resumeOptions,
  folder,
  generation,
  startedFrom: given,
  failure,
}: FailedGeneration): { readonly checkpoint: string; readonly command: string } | null {
  const isOfUse = (checkpoint: string) => !leadsToFailure(checkpoint, failure);
  const newest = committedFolders(folder.checkpoints).find(isOfUse) ?? null;
  const startedFrom = given === null || isOfUse(given) ? given && path.resolve(given) : newest;
  const resume = (checkpoint: string, place: string, words: readonly string[]) => ({
    checkpoint,
    command: commandLine(['locmoe', command, '--resume', fromHere(place), ...words, ...resumeOptions]),
  });
  if (newest !== null && (startedFrom === null || generationOf(newest) === generation))
    return resume(newest, folder.directory, []);
  // Nothing has the configuration of this generation yet but the options that it was given.
  if (startedFrom === null) return null;
  const place = startedFrom === newest ? folder.directory : startedFrom;
  return resume(startedFrom, place, startingOptions(options));
}

/** The options that say what is to be trained. */
function startingOptions({ fork, config, set, nodes, workersPerNode }: RunOptions): string[] {
  return [
    ...(fork ? ['--fork'] : []),
    ...(config === undefined ? [] : ['--config', config]),
    ...set.flatMap((assignment) => ['--set', assignment]),
    ...(nodes === undefined ? [] : ['--nodes', String(nodes)]),
    ...(workersPerNode === undefined ? [] : ['--workers-per-node', String(workersPerNode)]),
  ];
}

/** A path as short as it can be written in the folder of this process. */
export function fromHere(place: string): string {
  return path.relative('.', place) || '.';
}
