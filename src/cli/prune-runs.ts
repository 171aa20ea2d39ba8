import { lstatSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import path from 'node:path';
import { listRuns, mayBeLive, type RunRecord, stepOf } from '@locmoe/run-format';
import { z } from 'zod';
import { openCheckpoint } from '../checkpoint/checkpoint.js';
import { renameDurably } from '../checkpoint/durable.js';
import { committedFolders, removeCheckpoints } from '../checkpoint/folders.js';
import { whySuspect } from '../coordinator/planning/suspect-checkpoint.js';
import { asTrainerError } from '../errors.js';
import { failpoint } from '../failpoint.js';
import { claimRun } from '../run/run-lock.js';
import { progressOfMetrics } from '../run/run-progress.js';
import { bytesUnder, lastWriteMs, type Run } from './run-figures.js';

export interface PruneOptions {
  /** Number of the newest runs that are left as they are. */
  readonly keep?: number;
  /** Runs written to after this time, in ms since 1970, are left as they are. */
  readonly olderThan?: number;
  /** True to remove only checkpoints: all but the last and the best of a run. */
  readonly checkpoints: boolean;
}

/** The folders of a run that will be removed: its own, or those of some checkpoints. */
interface Removal {
  readonly run: Run;
  readonly folders: readonly string[];
  readonly bytes: number;
}

/** A run that another one refers to, with the step of the checkpoint; NaN for any part of the run. */
type Reference = NonNullable<RunRecord['forkedFrom']>;

/** Begins the name of the folder of a run that is being removed; `listRuns` leaves such folders out. */
const PRUNED = '.pruned-';

/** Chooses what to remove: nothing of a run that may be alive, and nothing that a run that stays refers to. */
export function planPrune(runsDir: string, { keep = 0, olderThan = Infinity, checkpoints }: PruneOptions) {
  const runs = listRuns(runsDir);
  const places = new Map(runs.map(({ folder }) => [folder.runId, realPath(folder.directory)]));
  const references = new Map(runs.map((run) => [run, referencesOf(run, places)]));
  const spared = new Map<Run, string>();
  const chosen = new Set<Run>();
  for (const run of runs.slice(keep)) {
    // A link leads to a folder elsewhere, which is not this folder's to remove.
    if (lstatSync(run.folder.directory).isSymbolicLink() || lastWriteMs(run.folder) >= olderThan) continue;
    if (mayBeLive(run.record)) spared.set(run, 'it may be running');
    else chosen.add(run);
  }
  if (checkpoints) {
    const all = [...references.values()].flat();
    const removals = [...chosen].map((run) => removalOf(run, staleCheckpoints(run, all)));
    return { removals: removals.filter(({ folders }) => folders.length > 0), spared };
  }
  const staying = runs.filter((run) => !chosen.has(run));
  for (const run of staying)
    for (const { runId } of references.get(run)!) {
      const needed = runs.find(({ folder }) => folder.runId === runId);
      if (needed === undefined || !chosen.delete(needed)) continue;
      spared.set(needed, `run ${run.folder.runId} refers to it`);
      staying.push(needed);
    }
  return { removals: [...chosen].map((run) => removalOf(run, [run.folder.directory])), spared };
}

function removalOf(run: Run, folders: readonly string[]): Removal {
  return { run, folders, bytes: folders.reduce((sum, folder) => sum + bytesUnder(folder), 0) };
}

/** Returns the other runs whose checkpoints a run began with, or whose folders its configuration names. */
function referencesOf({ folder, record }: Run, places: ReadonlyMap<string, string>): Reference[] {
  const texts = textsIn(folder.readConfig(z.unknown())).filter((text) => text.includes(path.sep));
  const named = texts.map(realPath).flatMap((place) =>
    [...places]
      .filter(([, real]) => place === real || place.startsWith(real + path.sep))
      .map(([runId, real]) => ({
        runId,
        step: stepOf(path.relative(real, place).split(path.sep)[1] ?? ''),
      })),
  );
  return [...named, record.forkedFrom, record.initFrom].filter(
    (each): each is Reference => each !== null && each.runId !== folder.runId,
  );
}

function textsIn(value: unknown): string[] {
  return typeof value === 'string' ? [value] : Object.values(Object(value)).flatMap(textsIn);
}

/** Returns a path without links; a path in a configuration may end with the hash of what is there. */
function realPath(text: string): string {
  const place = path.resolve(text.replace(/#sha256=[0-9a-f]+$/, ''));
  try {
    return realpathSync(place);
  } catch {
    return place;
  }
}

/** Returns the checkpoints that no resumption would load and no run refers to: neither the last nor the best. */
function staleCheckpoints({ folder }: Run, references: readonly Reference[]): string[] {
  const { runId, checkpoints } = folder;
  const own = references.filter((each) => each.runId === runId);
  if (
    !lstatSync(checkpoints, { throwIfNoEntry: false })?.isDirectory() ||
    own.some(({ step }) => Number.isNaN(step))
  )
    return [];
  const failures = folder.failures();
  const folders = committedFolders(checkpoints, Number.POSITIVE_INFINITY);
  const last = folders.findIndex((each) => isLoadable(each) && whySuspect(each, failures) === null);
  // Without a checkpoint to go on from, each may be of use.
  if (last < 0) return [];
  const { best } = progressOfMetrics(openCheckpoint(folders[last]!).manifest.metrics);
  const kept = [...own.map(({ step }) => step), best?.step, ...folders.slice(0, last + 1).map(stepOf)];
  return folders.filter((each) => !kept.includes(stepOf(each)));
}

function isLoadable(folder: string): boolean {
  try {
    openCheckpoint(folder);
    return true;
  } catch {
    return false;
  }
}

/**
 * Removes what was planned, and what an interrupted call left. Each folder is renamed first, so that whenever this is
 * interrupted, every run that is listed can be loaded.
 *
 * @param warn called for a run that cannot be removed
 * @returns the number of bytes freed
 */
export async function prune(
  runsDir: string,
  removals: readonly Removal[],
  warn: (line: string) => void,
): Promise<number> {
  for (const name of readdirSync(runsDir))
    if (name.startsWith(PRUNED)) rmSync(path.join(runsDir, name), { recursive: true, force: true });
  let freed = 0;
  for (const { run, folders, bytes } of removals)
    try {
      await remove(run, folders);
      freed += bytes;
    } catch (error) {
      warn(asTrainerError(error).line);
    }
  return freed;
}

async function remove({ folder }: Run, folders: readonly string[]): Promise<void> {
  const giveUp = await claimRun(folder, () => undefined);
  try {
    if (!folders.includes(folder.directory)) return removeCheckpoints(folder.checkpoints, folders);
    const pruned = path.join(path.dirname(folder.directory), PRUNED + folder.runId);
    renameDurably(folder.directory, pruned);
    failpoint('run.pruned');
    rmSync(pruned, { recursive: true });
  } finally {
    giveUp();
  }
}
