import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { openCheckpoint, verifiedAside } from 'locmoe/checkpoint/checkpoint';
import { committedFolders, stepOf } from 'locmoe/checkpoint/folders';
import { MANIFEST_FILE } from 'locmoe/checkpoint/manifest';
import { asTrainerError } from 'locmoe/errors';
import type { CheckpointCheck, CheckpointRow, CheckpointsReply } from './api-types.js';

/** The checkpoints of runs. What was found of one is kept until one of its files changes. */
export class Checkpoints {
  readonly #rows = new Map<string, CheckpointRow>();
  readonly #checks = new Map<string, Promise<CheckpointCheck>>();

  /** Newest first. Of each, the manifest is read and the sizes of its files are compared with it. */
  list(root: string): CheckpointsReply {
    return {
      checkpoints: committedFolders(root, Number.POSITIVE_INFINITY).map((folder) => {
        const key = keyOf(folder);
        const row = this.#rows.get(key) ?? rowOf(folder);
        this.#rows.set(key, row);
        return row;
      }),
    };
  }

  areIn(root: string): boolean {
    return committedFolders(root).length > 0;
  }

  /** Compares the hashes of all files of a checkpoint, once. Null if `root` has none of that name. */
  check(root: string, name: string): Promise<CheckpointCheck> | null {
    const folder = committedFolders(root).find((each) => path.basename(each) === name);
    if (folder === undefined) return null;
    const key = keyOf(folder);
    const check = this.#checks.get(key) ?? checkOf(folder);
    this.#checks.set(key, check);
    return check;
  }
}

function keyOf(folder: string): string {
  const files = readdirSync(folder).map((name) => {
    const stat = statSync(path.join(folder, name), { throwIfNoEntry: false });
    return `${name} ${stat?.size} ${stat?.mtimeMs}`;
  });
  return [folder, ...files].join('\n');
}

function rowOf(folder: string): CheckpointRow {
  const place = { name: path.basename(folder), directory: folder, step: stepOf(folder) };
  const file = path.join(folder, MANIFEST_FILE);
  const time = existsSync(file) ? statSync(file).mtimeMs : null;
  try {
    const { files, generation } = openCheckpoint(folder).manifest;
    const bytes = Object.values(files).reduce((sum, each) => sum + each.bytes, 0);
    return { ...place, time, bytes, generation, problem: null };
  } catch (error) {
    return { ...place, time, bytes: null, generation: null, problem: asTrainerError(error).message };
  }
}

async function checkOf(folder: string): Promise<CheckpointCheck> {
  try {
    await verifiedAside(folder);
    return { problem: null };
  } catch (error) {
    return { problem: asTrainerError(error).message };
  }
}
