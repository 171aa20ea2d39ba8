import { appendFileSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { asTrainerError, TrainerError } from '../../errors.js';
import { makeFolders, PRIVATE_FOLDER } from '../../os/make-folder.js';

/**
 * Records for all processes of this user that certain code may run.
 *
 * @param hash SHA-256 of its bytes
 * @param file where the user found it, for readers of the list
 * @throws TrainerError `NO_RESOURCE` if the list cannot be written
 */
export function trust(hash: string, file: string): void {
  if (isTrusted(hash)) return;
  const list = listOfUser();
  try {
    makeFolders(path.dirname(list), PRIVATE_FOLDER);
    // JSON keeps the path on a single line, whatever characters it contains.
    appendFileSync(list, `${hash} ${JSON.stringify(file)}\n`, { mode: 0o600 });
  } catch (error) {
    const { message } = asTrainerError(error);
    const advice = 'let XDG_STATE_HOME name a folder that can be written';
    throw new TrainerError('NO_RESOURCE', `${list} cannot remember router ${file} (${message}): ${advice}`);
  }
}

/** Tells whether this user has named code with this SHA-256. */
export function isTrusted(hash: string): boolean {
  try {
    return readFileSync(listOfUser(), 'utf8')
      .split('\n')
      .some((line) => line.startsWith(`${hash} `));
  } catch {
    return false;
  }
}

/** Returns a line for each router: the hash of its bytes, and its path when the user named it. */
function listOfUser(): string {
  const state = process.env.XDG_STATE_HOME || path.join(homedir(), '.local/state');
  return path.join(state, 'locmoe/trusted-routers');
}
