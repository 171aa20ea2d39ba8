import { existsSync } from 'node:fs';
import path from 'node:path';
import { findRun, placeNamed, RunFolder, type RunRecord } from '@locmoe/run-format';
import { type Checkpoint, resolveCheckpoint, resolveModel } from '../../checkpoint/checkpoint.js';
import { claimCheckpoints, committedFolders, newestGeneration } from '../../checkpoint/folders.js';
import type { RunConfig } from '../../config/schema.js';
import { TrainerError } from '../../errors.js';
import type { Security } from '../../rpc/security.js';
import { claimRun } from '../../run/run-lock.js';
import type { Adoption } from './adoption.js';
import { isLive } from './run-liveness.js';
import type { PlanSettings, RunOptions, RunPlan } from './run-options.js';
import { checkpointToResume } from './suspect-checkpoint.js';

/** Checkpoint, run or generation that a run starts from. */
export type RunOrigin = Pick<
  RunPlan,
  'checkpoint' | 'init' | 'resumed' | 'adopts' | 'forkedFrom' | 'initFrom'
>;

const NOTHING: RunOrigin = {
  checkpoint: null,
  init: null,
  resumed: null,
  adopts: null,
  forkedFrom: null,
  initFrom: null,
};

/**
 * Finds the checkpoint to start from. A checkpoint in a run's folder resumes that run as its next generation, and this
 * process then holds the run's lock; with `fork`, or outside any run, it starts a new run.
 *
 * @param configFrom returns the requested configuration, given the checkpoint to resume
 * @param adopt finds the generation of the run that may still train; none by default
 * @throws TrainerError `BAD_INPUT` if another process holds the run or its record cannot be read, `BAD_CHECKPOINT`
 */
export async function findOrigin(
  options: Pick<RunOptions, 'resume' | 'fork' | 'runsDir' | 'init' | (typeof INHERITING)[number]>,
  { security, say, warn }: Pick<PlanSettings, 'security' | 'say' | 'warn'>,
  configFrom: (checkpoint: Checkpoint) => RunConfig,
  adopt: (folder: RunFolder) => Adoption | null = () => null,
): Promise<RunOrigin> {
  const { resume, fork, init, inherit, runsDir } = options;
  assertOneOrigin(options);
  if (resume === undefined) {
    if (fork) throw new TrainerError('BAD_INPUT', '--fork: say from which checkpoint with --resume');
    const weights = init ?? inherit;
    return weights === undefined ? NOTHING : newRunWith(resolveModel(placeOf(weights, runsDir), warn));
  }
  const place = placeOf(resume, runsDir);
  const folder = runFolderAround(place);
  if (folder !== null && fork) return newRunFrom(checkpointToResume(folder, place, warn, configFrom));
  if (folder === null) {
    const checkpoint = resolveCheckpoint(place, warn);
    if (!fork) say(`${checkpoint.folder} is in no run's folder: a new run starts from it in ${runsDir}`);
    return newRunFrom(checkpoint);
  }
  // The lock comes first: its holder may be deleting the checkpoints that are examined next.
  const giveUp = await claimRun(folder, warn);
  try {
    const record = await recordOfStopped(folder, security);
    const { forkedFrom, initFrom } = record;
    const adopts = isRunItself(folder, place) ? adopt(folder) : null;
    if (adopts !== null) {
      const hasCheckpoint = committedFolders(folder.checkpoints).length > 0;
      // The next generation starts from this checkpoint if the nodes of the adopted one are gone.
      const checkpoint = hasCheckpoint ? checkpointToResume(folder, place, warn, configFrom) : null;
      const resumed = { folder, generation: adopts.generation, giveUp };
      return { ...NOTHING, checkpoint, resumed, adopts, forkedFrom, initFrom };
    }
    // The record may be older than the checkpoints (after restoring a backup), so the new generation exceeds both.
    const generation = Math.max(record.generation, newestGeneration(folder.checkpoints)) + 1;
    claimCheckpoints(folder.checkpoints, generation);
    return {
      ...NOTHING,
      checkpoint: checkpointToResume(folder, place, warn, configFrom),
      resumed: { folder, generation, giveUp },
      forkedFrom,
      initFrom,
    };
  } catch (error) {
    giveUp();
    throw error;
  }
}

/** Options that require `--inherit`, and that option itself. */
const INHERITING = ['inherit', 'inheritNoise', 'inheritSeed'] as const;

/** Effect of each option that sets a run's origin; at most one of them can be given. */
const ORIGINS = {
  init: '--init starts a new run with the weights of a checkpoint',
  inherit: '--inherit grows the model of a new run from a dense checkpoint',
  resume: '--resume goes on from one',
} as const;

function assertOneOrigin(options: Parameters<typeof findOrigin>[0]): void {
  const [first, second] = (['init', 'inherit', 'resume'] as const).filter(
    (name) => options[name] !== undefined,
  );
  if (first !== undefined && second !== undefined)
    throw new TrainerError('BAD_INPUT', `${ORIGINS[first]}, ${ORIGINS[second]}: give one of the two`);
  if (options.inherit !== undefined) return;
  const alone = INHERITING.find((name) => options[name] !== undefined);
  if (alone !== undefined)
    throw new TrainerError(
      'BAD_INPUT',
      `--${alone === 'inheritNoise' ? 'inherit-noise' : 'inherit-seed'}: say from which dense checkpoint with --inherit`,
    );
}

/** Returns the folder of the named run, or an existing path; true stands for the newest run. */
export function placeOf(named: string | true, runsDir: string): string {
  const place = named === true ? runsDir : placeNamed(named, runsDir);
  if (named !== true && existsSync(place)) return place;
  const others =
    named === true ? [] : committedFolders(path.dirname(named)).map((each) => path.basename(each));
  if (others.length > 0)
    throw new TrainerError('BAD_INPUT', `${named} does not exist; there are ${others.reverse().join(', ')}`);
  return findRun(runsDir, named === true ? undefined : named).folder.directory;
}

/** Tells whether the run itself is named, not one of its checkpoints, to which the run would go back. */
function isRunItself(folder: RunFolder, place: string): boolean {
  return path.resolve(place) === folder.directory;
}

async function recordOfStopped(folder: RunFolder, security: Security): Promise<RunRecord> {
  const record = folder.readRecord();
  if (record === null)
    throw new TrainerError(
      'BAD_INPUT',
      `${path.join(folder.directory, 'run.json')} is missing or no run's record, so the run cannot go on in its folder; start a new run from its checkpoint with --fork`,
    );
  if (await isLive(record, security))
    throw new TrainerError(
      'BAD_INPUT',
      `run ${record.runId} is still going (pid ${record.pid}, ${record.address}); stop it before you resume it`,
    );
  return record;
}

function newRunFrom(checkpoint: Checkpoint): RunOrigin {
  return { ...NOTHING, checkpoint, forkedFrom: nameOf(checkpoint) };
}

function newRunWith(init: Checkpoint): RunOrigin {
  return { ...NOTHING, init, initFrom: nameOf(init) };
}

function nameOf({ manifest: { runId, step } }: Checkpoint): NonNullable<RunRecord['forkedFrom']> {
  return { runId, step };
}

/** Finds the run's folder at `place`, or around a checkpoints or step folder there; null if there is none. */
function runFolderAround(place: string): RunFolder | null {
  const named = path.resolve(place);
  const checkpoints = [named, path.dirname(named)].find((each) => path.basename(each) === 'checkpoints');
  const directory = checkpoints === undefined ? named : path.dirname(checkpoints);
  const isRun = ['run.json', 'metrics.ndjson'].some((file) => existsSync(path.join(directory, file)));
  return isRun ? new RunFolder(directory) : null;
}
