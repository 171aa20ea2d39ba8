import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { MANIFEST_FILE, stepOf } from '@locmoe/run-format';
import { asTrainerError } from '@locmoe/run-format/errors';
import { openStored, verifiedAside } from 'locmoe/internal/checkpoint/open-stored';
import type { CheckpointCheck, CheckpointRow, CheckpointsReply } from './api-types.js';

/** Findings about a checkpoint, valid while its files stay unchanged. */
interface Known {
  readonly files: string;
  readonly row: CheckpointRow;
  /** The check of all hashes, once it was requested. */
  check?: Promise<CheckpointCheck>;
}

/** The checkpoints of runs. Findings are kept until a file of the checkpoint changes. */
export class Checkpoints {
  /** Findings by folder. */
  readonly #known = new Map<string, Known>();

  /**
   * Lists checkpoints, newest first. For each, the manifest is read and compared with the sizes of the files.
   */
  list(root: string): CheckpointsReply {
    const folders = foldersIn(root);
    for (const folder of this.#known.keys())
      if (path.dirname(folder) === root && !folders.includes(folder)) this.#known.delete(folder);
    // The order is that in which a resume tries them; checkpoints without a readable manifest come first.
    const generation = (row: CheckpointRow) => row.generation ?? Number.MAX_SAFE_INTEGER;
    return {
      checkpoints: folders
        .map((folder) => this.#of(folder).row)
        .sort((a, b) => generation(b) - generation(a) || b.step - a.step),
    };
  }

  /**
   * Compares the hashes of all files of a checkpoint, once. Null if `root` has no checkpoint of that name.
   */
  check(root: string, name: string): Promise<CheckpointCheck> | null {
    const folder = foldersIn(root).find((each) => path.basename(each) === name);
    if (folder === undefined) return null;
    const known = this.#of(folder);
    known.check ??= checkOf(folder);
    return known.check;
  }

  #of(folder: string): Known {
    const files = filesIn(folder);
    const last = this.#known.get(folder);
    const known = last?.files === files ? last : { files, row: rowOf(folder) };
    this.#known.set(folder, known);
    return known;
  }
}

/** Returns the folders of committed checkpoints, in no particular order. */
export function foldersIn(root: string): string[] {
  if (!existsSync(root)) return [];
  return readdirSync(root)
    .filter((name) => Number.isFinite(stepOf(name)))
    .map((name) => path.join(root, name));
}

/** Returns names, sizes and times of a folder's files; empty if the folder has been removed meanwhile. */
function filesIn(folder: string): string {
  if (!existsSync(folder)) return '';
  const files = readdirSync(folder).map((name) => {
    const stat = statSync(path.join(folder, name), { throwIfNoEntry: false });
    return `${name} ${stat?.size} ${stat?.mtimeMs}`;
  });
  return files.join('\n');
}

function rowOf(folder: string): CheckpointRow {
  const place = { name: path.basename(folder), directory: folder, step: stepOf(folder) };
  const file = path.join(folder, MANIFEST_FILE);
  const time = existsSync(file) ? statSync(file).mtimeMs : null;
  try {
    const { files, generation } = openStored(folder).manifest;
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
