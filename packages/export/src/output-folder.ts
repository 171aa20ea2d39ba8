import {
  copyFileSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { asStorageError, renameDurably, writeDurably } from 'locmoe/checkpoint/durable';
import { TrainerError } from 'locmoe/errors';
import { makeFolders } from 'locmoe/os/make-folder';
import { interruptible } from 'locmoe/os/on-signals';
import { removeAbandoned, workMark } from 'locmoe/os/work-folder';

/** In every folder that an export wrote: says so, and from which checkpoint. */
export const EXPORT_FILE = 'export.json';

/** A folder that is being written; nobody sees it before it is whole. */
export interface OutputFolder {
  /**
   * Writes a file, in parts that are written one after the other. Missing folders on the way are made.
   *
   * @param name relative to the folder
   * @throws TrainerError `DISK_FULL` or `NO_RESOURCE` if it cannot be written, `INTERRUPTED` after a signal
   */
  write(name: string, ...parts: readonly (string | Uint8Array)[]): Promise<void>;
  /** Copies a file, as `write`. */
  copy(from: string, name: string): Promise<void>;
  /** Writes a file with a function that is given its path, as `write`. */
  writeWith(name: string, write: (path: string) => void): Promise<void>;
}

/** A file of a finished export. */
export interface WrittenFile {
  /** Relative to the folder. */
  readonly name: string;
  readonly bytes: number;
}

/**
 * Writes a folder beside its place and then puts it there, in place of what an earlier export left. A
 * failure or a signal leaves nothing behind.
 *
 * @returns its files, in the order in which they were written
 * @throws TrainerError `NO_RESOURCE` if the place is taken by what no export wrote, and as `OutputFolder`
 */
export async function writeFolder(
  place: string,
  fill: (output: OutputFolder) => Promise<void>,
): Promise<readonly WrittenFile[]> {
  const folder = path.resolve(place);
  const onDisk = <T>(what: string, act: () => T): T => {
    try {
      return act();
    } catch (error) {
      throw asStorageError(error, `--output ${place}: ${what} cannot be written`);
    }
  };
  onDisk('it', () => assertOurs(place, folder));
  const asides = `${folder}.writing-`;
  const aside = `${asides}${workMark()}`;
  const files: WrittenFile[] = [];
  const outputUntil = (interruption: AbortSignal): OutputFolder => {
    // Files are written at one go; a signal is seen between two of them.
    const writeWith = async (name: string, write: (path: string) => void) => {
      await setImmediate();
      interruption.throwIfAborted();
      const file = path.join(aside, name);
      onDisk(name, () => {
        makeFolders(path.dirname(file));
        write(file);
        files.push({ name, bytes: statSync(file).size });
      });
    };
    return {
      writeWith,
      write: (name, ...parts) =>
        writeWith(name, (file) =>
          writeDurably(
            file,
            parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)),
          ),
        ),
      copy: (from, name) => writeWith(name, (file) => copyFileSync(from, file)),
    };
  };
  const firstMade = onDisk('it', () => makeFolders(path.dirname(folder)));
  try {
    await interruptible('nothing was exported', (signal) => fill(outputUntil(signal)));
    onDisk('it', () => putInPlace(aside, folder));
    // Only now: one that was killed between two renames has left the only whole folder.
    removeAbandoned(path.dirname(asides), path.basename(asides));
    return files;
  } finally {
    rmSync(aside, { recursive: true, force: true });
    removeEmpty(path.dirname(folder), firstMade);
  }
}

/** A folder that is missing, empty or an earlier export may be replaced, but not while someone stands in it. */
function assertOurs(place: string, folder: string): void {
  if (place === '' || !path.relative(folder, process.cwd()).startsWith('..'))
    throw new TrainerError('BAD_INPUT', `--output ${place || "''"}: give a folder in the one where you are`);
  const taken = lstatSync(folder, { throwIfNoEntry: false });
  if (taken === undefined) return;
  const ours = taken.isDirectory() && (readdirSync(folder).length === 0 || isExport(folder));
  if (!ours)
    throw new TrainerError(
      'NO_RESOURCE',
      `--output ${place}: it exists and \`locmoe export\` did not write it; give a folder that is not there`,
    );
}

function isExport(folder: string): boolean {
  try {
    return 'locmoe' in JSON.parse(readFileSync(path.join(folder, EXPORT_FILE), 'utf8'));
  } catch {
    return false;
  }
}

/** No moment without a whole folder, the old or the new one, under one of the two names. */
function putInPlace(aside: string, folder: string): void {
  const old = `${aside}.old`;
  const replaces = existsSync(folder);
  if (replaces) renameSync(folder, old);
  try {
    renameDurably(aside, folder);
  } catch (error) {
    if (replaces) renameSync(old, folder);
    throw error;
  }
  rmSync(old, { recursive: true, force: true });
}

/** Removes a folder and those above it up to `first`, as long as nothing is in them. */
function removeEmpty(folder: string, first: string | undefined): void {
  if (first === undefined || !folder.startsWith(first) || readdirSync(folder).length > 0) return;
  rmdirSync(folder);
  removeEmpty(path.dirname(folder), first);
}
