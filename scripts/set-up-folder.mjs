import { createHash } from 'node:crypto';
import { accessSync, constants, copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
/** Cache that all packages and checkouts of this user share. */
export const CACHE_FOLDER = path.join(process.env.XDG_CACHE_HOME || path.join(home(), '.cache'), 'locmoe');

/**
 * Folder of a part of the set-up: in this package or, for a user who cannot write there because root
 * installed it, in the user's cache, where installations with the same lock file share it.
 * @param {string} part name of its folder in this package
 * @param {string} present name of an entry that the folder has once the part is set up
 */
export function setUpFolder(part, present) {
  const own = path.join(ROOT, part);
  if (existsSync(path.join(own, present)) || isWritable(existsSync(own) ? own : ROOT)) return own;
  const lock = path.join(own, 'package-lock.json');
  const version = existsSync(lock)
    ? `-${createHash('sha256').update(readFileSync(lock)).digest('hex').slice(0, 8)}`
    : '';
  return path.join(CACHE_FOLDER, part + version);
}

/**
 * Makes a folder of `setUpFolder`, with the lock file of its part.
 * @throws {Error} if the folder cannot be written; the message says what to do
 */
export function makeSetUpFolder(part, folder) {
  try {
    mkdirSync(folder, { recursive: true });
    for (const name of ['package.json', 'package-lock.json']) {
      const [from, to] = [path.join(ROOT, part, name), path.join(folder, name)];
      if (from !== to && existsSync(from)) copyFileSync(from, to);
    }
  } catch (error) {
    throw new Error(`${error.message}; name a folder that this user can write in XDG_CACHE_HOME`);
  }
}

/** Returns the home of this user: for an id without an account, as in containers, it is /. */
function home() {
  try {
    return homedir();
  } catch {
    return '/';
  }
}

function isWritable(folder) {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
