import { existsSync } from 'node:fs';
import path from 'node:path';
import { generationOf, type PastFailure, type RunFolder } from '@locmoe/run-format';
import { committedFolders } from '../../checkpoint/folders.js';
import type { RunConfig } from '../../config/schema.js';
import { fromHere, locmoeCommand } from '../../os/command-line.js';
import type { RunOptions } from './run-options.js';
import { failureAfter, leadsToFailure, lowerRate } from './suspect-checkpoint.js';

/** Returns the options that must be repeated when the run is resumed; the checkpoint holds its configuration. */
export function lastingOptions(options: RunOptions): string[] {
  const { runsDir, dataDir, samples, http, linger, tensorboard } = options;
  return [
    ...(runsDir === 'runs' ? [] : ['--runs-dir', runsDir]),
    ...(dataDir === 'data' ? [] : ['--data-dir', dataDir]),
    ...(samples ? [] : ['--no-samples']),
    ...(http === false ? ['--no-http'] : http === '127.0.0.1:0' ? [] : ['--http', http]),
    ...(linger === undefined ? [] : linger === true ? ['--linger'] : ['--linger', String(linger)]),
    ...(tensorboard === undefined ? [] : ['--tensorboard', tensorboard]),
  ];
}

export interface FailedGeneration {
  readonly command: 'train' | 'serve' | 'launch';
  readonly options: RunOptions;
  /** Options that the command needs in addition. */
  readonly resumeOptions: readonly string[];
  readonly folder: RunFolder;
  readonly generation: number;
  /** Folder of the checkpoint that the generation started from; null if it started from nothing. */
  readonly startedFrom: string | null;
  readonly config: RunConfig;
  readonly failure: Omit<PastFailure, 'generation'>;
}

/** Chooses the checkpoint from which a failed run can be resumed, and the command; null if there is no checkpoint. */
export function resumptionOf(
  failed: FailedGeneration,
): { readonly checkpoint: string; readonly command: string } | null {
  const { folder, failure, startedFrom: given } = failed;
  const isUsable = (checkpoint: string) => !leadsToFailure(checkpoint, failure);
  const newest = committedFolders(folder.checkpoints).find(isUsable) ?? null;
  const isOwn = newest !== null && generationOf(newest) === failed.generation;
  // This generation may have deleted the checkpoint that it started from.
  const startedFrom = given !== null && existsSync(given) && isUsable(given) ? path.resolve(given) : newest;
  const checkpoint = isOwn ? newest : startedFrom;
  if (checkpoint === null) return null;
  const wouldComeAgain = failure.code === 'NOT_FINITE';
  const isFoundByRun = checkpoint === newest && failureAfter(checkpoint, folder.failures()) === undefined;
  const place = isFoundByRun && !wouldComeAgain ? folder.directory : checkpoint;
  const words = [
    failed.command,
    '--resume',
    fromHere(place),
    // Until its first checkpoint, a generation's configuration exists only in its options.
    ...(isOwn ? [] : startingOptions(failed.options)),
    // Runs are deterministic, so the same settings would lead to the same failure.
    ...(wouldComeAgain ? ['--set', lowerRate(failed.config)] : []),
    ...failed.resumeOptions,
  ];
  return { checkpoint, command: locmoeCommand(words) };
}

/** Returns the options that determine what is trained. */
function startingOptions({ fork, config, set, nodes, workersPerNode }: RunOptions): string[] {
  return [
    ...(fork ? ['--fork'] : []),
    ...(config === undefined ? [] : ['--config', config]),
    ...set.flatMap((assignment) => ['--set', assignment]),
    ...(nodes === undefined ? [] : ['--nodes', String(nodes)]),
    ...(workersPerNode === undefined ? [] : ['--workers-per-node', String(workersPerNode)]),
  ];
}
