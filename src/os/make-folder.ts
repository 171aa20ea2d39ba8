import { existsSync, lstatSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { TrainerError } from '../errors.js';

/** An option of a command that names a folder. */
export type FolderOption = '--data-dir' | '--runs-dir' | '--tensorboard';

/**
 * Makes a folder under one that an option names, with all that are missing above it.
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

/** Says in a user's words why a folder under one that an option names cannot be made or read. */
export function folderProblem(directory: string, option: FolderOption, error: unknown): TrainerError {
  const { code, message } = systemError(directory, error as NodeJS.ErrnoException);
  const problem = (text: string) => new TrainerError('NO_RESOURCE', `${option} ${directory}: ${text}`);
  if (code === 'EROFS')
    return problem(
      `read-only file system; give ${option === '--tensorboard' ? option : '--data-dir and --runs-dir'} a place elsewhere`,
    );
  if (code === 'EEXIST' || code === 'ENOTDIR') return problem(whatIsInTheWay(directory));
  return problem(message);
}

/** Of a recursive call Node says ENOENT, whatever the system said of the first folder that it could not make. */
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

/** Under a file, too, everything is missing. */
function isMissing(place: string): boolean {
  try {
    lstatSync(place);
    return false;
  } catch {
    return true;
  }
}
