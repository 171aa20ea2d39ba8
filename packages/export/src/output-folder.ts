import {
  copyFileSync,
  type Dirent,
  existsSync,
  lstatSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
} from 'node:fs';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { readRegularFile } from '@locmoe/run-format/regular-file';
import { asStorageError, renameDurably, writeDurably } from 'locmoe/internal/checkpoint/durable';
import { TrainerError } from 'locmoe/internal/errors';
import { makeFolders } from 'locmoe/internal/os/make-folder';
import { interruptible } from 'locmoe/internal/os/on-signals';
import { removeAbandoned, workMark } from 'locmoe/internal/os/work-folder';
import { digestFile } from 'locmoe/internal/sha256';
import { z } from 'zod';

/**
 * File in every exported folder with the checkpoint it came from and the SHA-256 of its other files by name.
 */
export const EXPORT_FILE = 'export.json';

const exportSchema = z.object({ files: z.record(z.string(), z.string()) });

/** A folder that is being written; it becomes visible only when it is complete. */
export interface OutputFolder {
  /**
   * Writes a file in parts, one after the other, and creates missing folders.
   *
   * @param name relative to the folder
   * @throws TrainerError `DISK_FULL` or `NO_RESOURCE` if it cannot be written, `INTERRUPTED` after a signal
   */
  write(name: string, ...parts: readonly (string | Uint8Array)[]): Promise<void>;
  /** Copies a file; otherwise like `write`. */
  copy(from: string, name: string): Promise<void>;
  /** Writes a file with a function that gets its path; otherwise like `write`. */
  writeWith(name: string, write: (path: string) => void): Promise<void>;
}

/** A file of a finished export. */
export interface WrittenFile {
  readonly name: string;
  readonly bytes: number;
}

/**
 * Writes a folder next to its final place and then moves it there, where it replaces an earlier export. A
 * failure or a signal leaves nothing behind.
 *
 * @param about content of `EXPORT_FILE` in addition to its files
 * @returns its files, in the order in which they were written
 * @throws TrainerError `NO_RESOURCE` if the place contains something that no export wrote, and as
 *   `OutputFolder`
 */
export async function writeFolder(
  place: string,
  fill: (output: OutputFolder) => Promise<void>,
  about: object = {},
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
  const digests: Record<string, string> = {};
  const outputUntil = (interruption: AbortSignal): OutputFolder => {
    // A file is written in one go; signals are noticed between two files.
    const writeWith = async (name: string, write: (path: string) => void) => {
      await setImmediate();
      interruption.throwIfAborted();
      const file = path.join(aside, name);
      onDisk(name, () => {
        makeFolders(path.dirname(file));
        write(file);
        const { bytes, sha256 } = digestFile(file);
        files.push({ name, bytes });
        digests[name] = sha256;
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
    await interruptible('nothing was exported', async (signal) => {
      const output = outputUntil(signal);
      await fill(output);
      await output.write(EXPORT_FILE, `${JSON.stringify({ ...about, files: digests }, null, 1)}\n`);
    });
    onDisk('it', () => {
      // Another process may have put something there since the first check.
      assertOurs(place, folder);
      putInPlace(aside, folder);
    });
    // Abandoned folders are removed only now, as one from a process killed between two renames may have been
    // the only complete folder.
    removeAbandoned(path.dirname(asides), path.basename(asides));
    return files;
  } finally {
    rmSync(aside, { recursive: true, force: true });
    removeEmpty(path.dirname(folder), firstMade);
  }
}

/**
 * Asserts that a folder may be replaced: it is missing, empty or unchanged since an export, and does not
 * contain the working directory.
 */
function assertOurs(place: string, folder: string): void {
  if (place === '' || !path.relative(folder, process.cwd()).startsWith('..'))
    throw new TrainerError('BAD_INPUT', `--output ${place || "''"}: give a folder below the current one`);
  const taken = lstatSync(folder, { throwIfNoEntry: false });
  if (taken === undefined) return;
  if (taken.isDirectory() && readdirSync(folder).length === 0) return;
  const written = taken.isDirectory() ? filesOfExport(folder) : null;
  const problem =
    written === null ? 'it exists and `locmoe export` did not write it' : strangerIn(folder, written);
  if (problem !== null)
    throw new TrainerError(
      'NO_RESOURCE',
      `--output ${place}: ${problem}; give the path of a folder that does not exist yet`,
    );
}

/** Returns the SHA-256 of each file that an export wrote into a folder; null if no export did. */
function filesOfExport(folder: string): ReadonlyMap<string, string> | null {
  try {
    const json: unknown = JSON.parse(readRegularFile(path.join(folder, EXPORT_FILE)).toString('utf8'));
    return new Map(Object.entries(exportSchema.parse(json).files));
  } catch {
    return null;
  }
}

/** Describes something in a folder that its export did not write; null if there is nothing. */
function strangerIn(folder: string, written: ReadonlyMap<string, string>): string | null {
  for (const entry of entriesIn(folder)) {
    const file = path.join(entry.parentPath, entry.name);
    const name = path.relative(folder, file);
    if (entry.isDirectory() || name === EXPORT_FILE) continue;
    const sha256 = written.get(name);
    if (sha256 === undefined) return `it holds ${name}, which \`locmoe export\` did not write`;
    if (!entry.isFile() || digestFile(file).sha256 !== sha256)
      return `${name} in it was changed after \`locmoe export\` wrote it`;
  }
  return null;
}

/**
 * Yields all entries in a folder, recursively. Links are not followed, as a link may lead anywhere;
 * `readdirSync` with `recursive` follows them from Node 22 on.
 */
function* entriesIn(folder: string): Generator<Dirent> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    yield entry;
    if (entry.isDirectory()) yield* entriesIn(path.join(folder, entry.name));
  }
}

/** Replaces a folder: at every moment a complete one exists, the old or the new, under one of the two names. */
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

/** Removes a folder and those above it up to `first`, while they are empty. */
function removeEmpty(folder: string, first: string | undefined): void {
  if (first === undefined || !folder.startsWith(first) || readdirSync(folder).length > 0) return;
  rmdirSync(folder);
  removeEmpty(path.dirname(folder), first);
}
