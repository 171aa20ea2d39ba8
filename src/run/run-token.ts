import { renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { RunFolder } from '@locmoe/run-format';
import { readRegularFile } from '@locmoe/run-format/regular-file';
import { TrainerError } from '../errors.js';
import { openFilesBehind } from '../os/tcp-listeners.js';
import { type Address, isLoopback } from '../rpc/address.js';
import { loadToken, NO_SECURITY, type Security, withOwnToken } from '../rpc/security.js';

const OWNER_ALONE = 0o600;
const ANYBODY = 0o777;

/**
 * Keeps the token of a run in its folder, where its agents and this user's commands find it.
 *
 * @param token null if the user passes one to each of them; the token of an earlier process is then removed
 */
export function keepToken({ token: file }: RunFolder, token: string | null): void {
  const work = `${file}.tmp`;
  for (const old of [file, work]) rmSync(old, { force: true });
  if (token === null) return;
  writeFileSync(work, `${token}\n`, { mode: OWNER_ALONE, flag: 'wx' });
  renameSync(work, file);
}

/** Reads the token of the process that led a run before, if no other user can know it; else returns null. */
export function lastingToken({ token: file }: RunFolder): string | null {
  const { uid, mode } = statSync(file, { throwIfNoEntry: false }) ?? {};
  const isOwn = uid === process.geteuid?.() && mode !== undefined && (mode & ANYBODY) === OWNER_ALONE;
  return isOwn ? loadToken(file) : null;
}

/**
 * Returns the credentials that the folder of a run holds; NO_SECURITY if it holds none.
 *
 * @throws TrainerError `UNAUTHENTICATED` if the folder is another user's
 */
export function securityOfRun({ runId, token: file }: RunFolder): Security {
  try {
    readRegularFile(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return NO_SECURITY;
    throw new TrainerError(
      'UNAUTHENTICATED',
      `run ${runId} belongs to another user: ${file} cannot be read (${code})`,
    );
  }
  return withOwnToken(loadToken(file));
}

/** Finds the run that a coordinator of this user leads at a loopback address; null if there is none. */
export function runLedAt({ host, port }: Address): RunFolder | null {
  if (!isLoopback(host)) return null;
  const lock = openFilesBehind(port).find((file) => /\/run\.lock(?: \(deleted\))?$/.test(file));
  return lock === undefined ? null : new RunFolder(path.dirname(lock));
}
