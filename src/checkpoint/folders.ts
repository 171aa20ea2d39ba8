import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { generationOf, stepFolder, stepOf } from '@locmoe/run-format';
import { asTrainerError } from '../errors.js';
import { failpoint } from '../failpoint.js';
import { asStorageError, renameDurably, writeDurably } from './durable.js';
import { assertNotSuperseded, markedGenerations, markGeneration, superseded } from './fence.js';

// Under the root of a run's checkpoints, where G is the generation of the process that created the name:
//   step-000100/                 a committed checkpoint
//   step-000100.replaced-G/      about to be removed or replaced; still counts as committed
//   step-000100.tmp-G.../        being written or being deleted; never read
//   latest, latest.tmp-G         name of the newest committed checkpoint, for people and scripts
//   generation-G                 the generation that the run is at (fence.ts)
//
// Renames make check-then-act safe: a process acts only on names of its own generation, and a later generation moves all names of
// earlier ones when it starts. So a process that was frozen between the two finds nothing to commit or delete.

const SET_ASIDE = /\.replaced-(\d+)$/;
const UNFINISHED = /^(?:step-\d{6,}|latest)\.tmp-(\d+)/;
const AWAY = '-away';

/** Place of a checkpoint. */
export interface Place {
  /** Folder of the run's checkpoints. */
  readonly root: string;
  readonly step: number;
  readonly generation: number;
}

export function temporaryFolder({ root, step, generation }: Place): string {
  return `${stepFolder(root, step)}.tmp-${generation}`;
}

/**
 * Returns the committed folders under `root`, newest first: by generation, then by step. Folders with an unreadable
 * manifest count as written by generation `unreadable`.
 */
export function committedFolders(root: string, unreadable = 0): string[] {
  if (!existsSync(root) || !statSync(root).isDirectory()) return [];
  return readdirSync(root)
    .filter((name) => !Number.isNaN(stepOf(name)))
    .map((name) => join(root, name))
    .map((folder) => ({ folder, generation: generationOf(folder) ?? unreadable, step: stepOf(folder) }))
    .sort((a, b) => b.generation - a.generation || b.step - a.step || a.folder.length - b.folder.length)
    .map(({ folder }) => folder);
}

/** Returns the highest generation with a marker or a checkpoint under `root`; 0 if there is none. */
export function newestGeneration(root: string): number {
  const writers = committedFolders(root).map((folder) => generationOf(folder) ?? 0);
  return Math.max(0, ...markedGenerations(root), ...writers);
}

/**
 * Makes `generation` the owner of `root`, before it reads or writes there. Processes of earlier generations
 * that still run, or resume, can then change nothing there, and end at their next save.
 *
 * @throws TrainerError `SUPERSEDED` if a later generation was started
 */
export function claimCheckpoints(root: string, generation: number): void {
  markGeneration(root, generation);
  failpoint('checkpoint.marked');
  tidy(root, generation);
}

/**
 * Creates an empty folder to write to, and cleans up after interrupted saves.
 *
 * @throws TrainerError `SUPERSEDED` if a later generation was started
 */
export function prepareFolder(place: Place): void {
  const { root, generation } = place;
  mkdirSync(root, { recursive: true });
  assertNotSuperseded(root, generation);
  failpoint('checkpoint.allowed');
  tidy(root, generation);
  failpoint('checkpoint.tidied');
  mkdirSync(temporaryFolder(place));
}

/**
 * Renames the complete, synced temporary folder to its final name, then deletes all but the newest `keep`
 * checkpoints and that of step `keepStep`. Checkpoints of later steps are deleted, too: the run was resumed
 * from an earlier one, so they are no longer part of it.
 *
 * @param warn called with what failed after the rename: the checkpoint is committed, and the next save tidies up
 * @throws TrainerError `SUPERSEDED` if a later generation was started
 */
export function commitFolder(
  place: Place,
  keep: number,
  keepStep: number | null,
  warn: (line: string) => void,
): void {
  const { root, step, generation } = place;
  const final = stepFolder(root, step);
  assertNotSuperseded(root, generation);
  failpoint('checkpoint.checked');
  const replaced = existsSync(final) ? setAside(place, final) : null;
  failpoint('checkpoint.replaced');
  try {
    renameDurably(temporaryFolder(place), final);
  } catch (error) {
    if (replaced !== null) moveIfFree(replaced, final);
    throw error;
  }
  try {
    failpoint('checkpoint.renamed');
    writeLatest(place);
    failpoint('checkpoint.latest');
    removeAllButNewest(place, keep, keepStep);
  } catch (error) {
    const { code, message } = asTrainerError(asStorageError(error));
    if (code === 'SUPERSEDED') throw error;
    warn(`${final} is saved, but not all that it replaces could be removed: ${message}`);
  }
}

function removeAllButNewest(place: Place, keep: number, keepStep: number | null): void {
  const { root, step, generation } = place;
  const folders = committedFolders(root);
  for (const aside of folders)
    if (setAsideBy(aside) <= generation) remove(aside, settledName(aside), generation);
  failpoint('checkpoint.listed');
  const plain = folders.filter((folder) => folder === settledName(folder));
  const later = plain.filter((folder) => stepOf(folder) > step);
  const earlier = plain.filter((folder) => stepOf(folder) < step);
  const old = earlier.slice(keep - 1).filter((folder) => stepOf(folder) !== keepStep);
  for (const folder of [...later, ...old]) remove(setAside(place, folder), folder, generation);
}

/**
 * Deletes some of the committed checkpoints of a run that does not train and whose lock this process holds, and what
 * interrupted processes left.
 */
export function removeCheckpoints(root: string, folders: readonly string[]): void {
  const generation = newestGeneration(root);
  for (const folder of folders) remove(folder, settledName(folder), generation);
  tidy(root, generation);
}

function writeLatest({ root, step, generation }: Place): void {
  const temporary = join(root, `latest.tmp-${generation}`);
  writeDurably(temporary, [Buffer.from(`${basename(stepFolder(root, step))}\n`)]);
  failpoint('checkpoint.latest-written');
  assertNotSuperseded(root, generation);
  failpoint('checkpoint.latest-checked');
  renameDurably(temporary, join(root, 'latest'));
}

/**
 * Moves a checkpoint to a name from which a later generation would restore it (`.replaced-G`).
 *
 * @returns the new name
 * @throws TrainerError `SUPERSEDED`, with the checkpoint back in its place, if a later generation was started
 */
function setAside({ root, generation }: Place, folder: string): string {
  const aside = `${folder}.replaced-${generation}`;
  renameSync(folder, aside);
  failpoint('checkpoint.aside');
  try {
    assertNotSuperseded(root, generation);
    // A network file system may list a folder from its cache, but rereads a folder that was just renamed.
    const writer = generationOf(aside) ?? 0;
    if (writer > generation) throw superseded(generation, writer);
  } catch (error) {
    moveIfFree(aside, folder);
    throw error;
  }
  failpoint('checkpoint.aside-checked');
  return aside;
}

/** Deletes a folder that was set aside, renaming it first: a half-deleted one must not count as committed. */
function remove(aside: string, folder: string, generation: number): void {
  const discarded = `${folder}.tmp-${generation}-discarded`;
  renameSync(aside, discarded);
  failpoint('checkpoint.discarding');
  rmSync(discarded, { recursive: true, force: true });
}

/** Removes what this and earlier generations left unfinished, and restores the folders that they had set aside. */
function tidy(root: string, generation: number): void {
  // In reverse order, a folder that an earlier call moved away comes before the one that has its former name.
  for (const name of readdirSync(root).sort().reverse()) {
    const path = join(root, name);
    const unfinished = UNFINISHED.exec(name);
    if (unfinished !== null && Number(unfinished[1]) <= generation) removeUnfinished(path);
    // A folder whose name is taken stays until the next checkpoint is committed.
    else if (setAsideBy(path) <= generation) moveIfFree(path, settledName(path));
  }
}

function removeUnfinished(path: string): void {
  // The folder is renamed first, so that a process that still writes to it can no longer commit it.
  const away = path.endsWith(AWAY) ? path : path + AWAY;
  if (away !== path) moveIfFree(path, away);
  try {
    rmSync(away, { recursive: true, force: true });
  } catch {
    // A network file system may keep a file that another process has open; the next save tries again.
  }
}

/** @returns false if `from` is gone or `to` is taken */
function moveIfFree(from: string, to: string): boolean {
  try {
    renameDurably(from, to);
    return true;
  } catch (error) {
    if (['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(String((error as NodeJS.ErrnoException).code)))
      return false;
    throw error;
  }
}

/** Returns the path of a committed folder, without the suffix of one that was set aside. */
function settledName(folder: string): string {
  return folder.replace(SET_ASIDE, '');
}

/** Returns the generation that set a folder aside; Infinity if it was not set aside. */
function setAsideBy(folder: string): number {
  return Number(SET_ASIDE.exec(folder)?.[1] ?? Number.POSITIVE_INFINITY);
}

/** Tells the user what to do about a run that has no checkpoint. */
export const NOTHING_SAVED = 'no checkpoint was saved yet (train.checkpointEvery): start the run again';
