import { existsSync, lstatSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { TrainerError } from '../errors.js';

/** A command-line option that names a folder. */
export type FolderOption = '--data-dir' | '--runs-dir' | '--tensorboard';

/**
 * Creates a folder under the one that an option names, with its missing parents.
 *
 * @throws TrainerError `NO_RESOURCE` naming the option and what is in the way
 */
export function makeFolder(directory: string, option: FolderOption): void {
  try {
    mkdirSync(directory, { recursive: true });
  } catch (error) {
    throw folderProblem(directory, option, error);
  }
}

/** The error for a folder under the one that an option names, in a user's words. */
export function folderProblem(directory: string, option: FolderOption, error: unknown): TrainerError {
  const { code, message } = systemError(directory, error as NodeJS.ErrnoException);
  const problem = (text: string) => new TrainerError('NO_RESOURCE', `${option} ${directory}: ${text}`);
  if (code === 'EROFS')
    return problem(
      `read-only file system; give ${option === '--tensorboard' ? option : '--data-dir and --runs-dir'} a ` +
        'place elsewhere',
    );
  if (code === 'EEXIST' || code === 'ENOTDIR') return problem(whatIsInTheWay(directory));
  return problem(message);
}

/** The error, or where it says that the disk is full, one that names the option of the folder. */
export function asFullDisk(error: unknown, dataDir: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT' ? folderProblem(dataDir, '--data-dir', error) : error;
}

/**
 * A recursive mkdir always reports ENOENT; this finds the error of the first folder that it could not create.
 */
function systemError(directory: string, error: NodeJS.ErrnoException): NodeJS.ErrnoException {
  if (error.code !== 'ENOENT') return error;
  let first = path.resolve(directory);
  while (!existsSync(path.dirname(first))) first = path.dirname(first);
  try {
    mkdirSync(first);
  } catch (own) {
    return own as NodeJS.ErrnoException;
  }
  return error;
}

function whatIsInTheWay(directory: string): string {
  let place = path.resolve(directory);
  while (isMissing(place)) place = path.dirname(place);
  return lstatSync(place).isSymbolicLink() && !existsSync(place)
    ? `${place} is a link that leads nowhere`
    : `${place} is not a folder`;
}

/** True for missing paths, also below a file. */
function isMissing(place: string): boolean {
  try {
    lstatSync(place);
    return false;
  } catch {
    return true;
  }
}
