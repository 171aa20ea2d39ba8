import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { renameDurably, replaceTextDurably } from './durable.js';

// Under the root of a run:
//   step-000100/                a committed checkpoint
//   step-000100.replaced/       the one it is about to take the place of; exists only between two renames
//   step-000100.tmp-<anything>/ being written or being deleted; never read, removed by the next save
//   latest                      name of the newest committed checkpoint, for people and scripts

const COMMITTED = /^step-(\d{6,})(\.replaced)?$/;
const TEMPORARY = /^step-\d{6,}(\.replaced)?\.tmp-/;

const REPLACED = '.replaced';

/** A point of a save at which a test can kill the process: `LOCMOE_FAIL=checkpoint.<point>`. */
export function failpoint(point: string): void {
  if (process.env.LOCMOE_FAIL === `checkpoint.${point}`) process.kill(process.pid, 'SIGKILL');
}

export function stepFolder(root: string, step: number): string {
  return join(root, `step-${String(step).padStart(6, '0')}`);
}

export function temporaryFolder(root: string, step: number, generation: number): string {
  return `${stepFolder(root, step)}.tmp-${generation}`;
}

/** Folders under `root` that were committed, newest step first. */
export function committedFolders(root: string): string[] {
  if (!existsSync(root)) return [];
  return readdirSync(root)
    .filter((name) => COMMITTED.test(name))
    .sort((a, b) => stepOf(b) - stepOf(a) || a.length - b.length)
    .map((name) => join(root, name));
}

/** Makes an empty folder to write into, and tidies up what saves that were cut short have left. */
export function prepareFolder(root: string, temporary: string): void {
  mkdirSync(root, { recursive: true });
  for (const name of readdirSync(root).filter((name) => TEMPORARY.test(name)))
    rmSync(join(root, name), { recursive: true });
  for (const replaced of committedFolders(root).filter((folder) => folder.endsWith(REPLACED))) {
    const final = replaced.slice(0, -REPLACED.length);
    if (existsSync(final)) discard(replaced);
    else renameSync(replaced, final);
  }
  mkdirSync(temporary);
}

/**
 * Gives a complete, synced folder its final name, and deletes all but the newest `keep`. Checkpoints of later
 * steps are deleted first: the run was resumed from an earlier one and they are not part of it any more, so the
 * folder of the highest step is always the newest.
 */
export function commitFolder(root: string, temporary: string, step: number, keep: number): void {
  const final = stepFolder(root, step);
  for (const folder of committedFolders(root)) if (stepOf(folder) > step) discard(folder);
  failpoint('discarded');
  if (existsSync(final)) {
    renameSync(final, final + REPLACED);
    failpoint('replaced');
  }
  renameDurably(temporary, final);
  failpoint('renamed');
  replaceTextDurably(join(root, 'latest'), `${basename(final)}\n`);
  failpoint('latest');
  if (existsSync(final + REPLACED)) discard(final + REPLACED);
  for (const folder of committedFolders(root).slice(keep)) discard(folder);
}

/** Deletes a checkpoint; renamed first, so that a half-deleted one is never taken for a good one. */
function discard(folder: string): void {
  renameSync(folder, `${folder}.tmp-discarded`);
  failpoint('discarding');
  rmSync(`${folder}.tmp-discarded`, { recursive: true });
}

function stepOf(folder: string): number {
  return Number(COMMITTED.exec(basename(folder))![1]);
}
