import { chmodSync, existsSync, lstatSync, mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { TrainerError } from '../errors.js';

/** A command-line option that names a folder. */
export type FolderOption = '--data-dir' | '--runs-dir' | '--tensorboard' | '--work-dir' | '--out';

/** Permissions of a folder that no other user may look into. */
export const PRIVATE_FOLDER = 0o700;
const OTHERS = 0o077;

/** If one of the two is on a read-only file system, the other usually is, too. */
const OFTEN_TOGETHER: readonly FolderOption[] = ['--data-dir', '--runs-dir'];

/**
 * Creates a folder under the one that an option names, with its missing parents.
 *
 * @param mode permissions of the folders that are made
 * @returns the first folder that was missing
 * @throws TrainerError `NO_RESOURCE` naming the option and what is in the way
 */
export function makeFolder(directory: string, option: FolderOption, mode?: number): string | undefined {
  try {
    return makeFolders(directory, mode);
  } catch (error) {
    throw folderProblem(directory, option, error);
  }
}

/**
 * Creates a folder with its missing parents, one by one: Node's recursive mkdir never returns where a file
 * system reports ENOENT below an existing folder, as /proc does.
 *
 * @param mode permissions of the folders that are made
 * @returns the first folder that was missing
 * @throws the system's error for the first folder that cannot be made
 */
export function makeFolders(directory: string, mode = 0o777): string | undefined {
  const missing: string[] = [];
  for (let place = path.resolve(directory); !existsSync(place); place = path.dirname(place))
    missing.unshift(place);
  for (const place of missing)
    try {
      mkdirSync(place, { mode });
    } catch (error) {
      // Another process may have made the folder meanwhile.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !existsSync(place)) throw error;
    }
  // This call throws if a file is in the folder's place, which counts as existing above.
  mkdirSync(directory, { recursive: true });
  return missing[0];
}

/**
 * Shuts other users out of a folder of this user.
 *
 * @returns false if the folder is another user's, or its file system keeps no permissions
 */
export function makePrivate(directory: string): boolean {
  try {
    chmodSync(directory, PRIVATE_FOLDER);
  } catch {
    // The mode that is read below tells whether the change worked.
  }
  return (statSync(directory).mode & OTHERS) === 0;
}

/** Returns the error for a folder under the one that an option names, in a user's words. */
export function folderProblem(directory: string, option: FolderOption, error: unknown): TrainerError {
  const { code, message } = error as NodeJS.ErrnoException;
  const problem = (text: string) => new TrainerError('NO_RESOURCE', `${option} ${directory}: ${text}`);
  if (code === 'EROFS')
    return problem(
      `read-only file system; give ${OFTEN_TOGETHER.includes(option) ? OFTEN_TOGETHER.join(' and ') : option} a place elsewhere`,
    );
  if (code === 'EEXIST' || code === 'ENOTDIR') return problem(whatIsInTheWay(directory));
  return problem(message);
}

/** Returns `error`, or one that names the folder's option where `error` says that the disk is full. */
export function asFullDisk(error: unknown, dataDir: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT' ? folderProblem(dataDir, '--data-dir', error) : error;
}

function whatIsInTheWay(directory: string): string {
  let place = path.resolve(directory);
  while (isMissing(place)) place = path.dirname(place);
  return lstatSync(place).isSymbolicLink() && !existsSync(place)
    ? `${place} is a link that leads nowhere`
    : `${place} is not a folder`;
}

/** Tells whether a path is missing, as any path below a file is. */
function isMissing(place: string): boolean {
  try {
    lstatSync(place);
    return false;
  } catch {
    return true;
  }
}
