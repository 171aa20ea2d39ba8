import { existsSync } from 'node:fs';
import path from 'node:path';
import { committedFolders } from '../checkpoint/folders.js';
import { generationOf } from '../checkpoint/manifest.js';
import type { RunConfig } from '../config/schema.js';
import type { PastFailure, RunFolder } from '../run/run-folder.js';
import type { RunOptions } from './run-options.js';
import { failureAfter, leadsToFailure, lowerRate } from './suspect-checkpoint.js';

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
  readonly config: RunConfig;
  readonly failure: Omit<PastFailure, 'generation'>;
}

/** Where a run that failed goes on, and the command that does it; null if there is no checkpoint to go on from. */
export function howToGoOn({
  command,
  options,
  resumeOptions,
  folder,
  generation,
  startedFrom: given,
  config,
  failure,
}: FailedGeneration): { readonly checkpoint: string; readonly command: string } | null {
  const isOfUse = (checkpoint: string) => !leadsToFailure(checkpoint, failure);
  const newest = committedFolders(folder.checkpoints).find(isOfUse) ?? null;
  const isOwn = newest !== null && generationOf(newest) === generation;
  // Saves of this generation may have deleted what it started from.
  const startedFrom = given !== null && existsSync(given) && isOfUse(given) ? path.resolve(given) : newest;
  const checkpoint = isOwn ? newest : startedFrom;
  if (checkpoint === null) return null;
  const wouldComeAgain = failure.code === 'NOT_FINITE';
  const isFoundByRun = checkpoint === newest && failureAfter(checkpoint, folder.failures()) === undefined;
  const place = isFoundByRun && !wouldComeAgain ? folder.directory : checkpoint;
  const words = [
    ...['locmoe', command, '--resume', fromHere(place)],
    // Nothing has the configuration of this generation yet but the options that it was given.
    ...(isOwn ? [] : startingOptions(options)),
    // With the same settings the same steps come out the same.
    ...(wouldComeAgain ? ['--set', lowerRate(config)] : []),
    ...resumeOptions,
  ];
  return { checkpoint, command: commandLine(words) };
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
