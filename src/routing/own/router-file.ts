import { createRequire } from 'node:module';
import path from 'node:path';
import { readRegularFile } from '@locmoe/run-format/regular-file';
import { TrainerError } from '../../errors.js';
import { locmoeCommand } from '../../os/command-line.js';
import { sha256 } from '../../sha256.js';
import { isTrusted, trust } from './trusted-routers.js';

// A custom router is a file outside this package. Configurations, checkpoints and the processes of a run refer to it by
// its path and the hash of its bytes, FILE#sha256=HASH; its code is never sent. As a checkpoint, a recipe or a
// coordinator may name a file of a stranger's choice, only bytes that the user has named are run.

const MAX_BYTES = 2 ** 24;
const NAME = /^(.+)#sha256=([0-9a-f]{64})$/;

/**
 * Finds the file that `moe.router` refers to: a path relative to `base`, a package's name, or a name that
 * this function has returned.
 *
 * @returns FILE#sha256=HASH; null if it does not look like a path and there is no such package
 * @throws TrainerError `BAD_CONFIG` if the file cannot be read
 */
export function ownRouterName(router: string, base: string): string | null {
  if (NAME.test(router)) return router;
  let file = path.resolve(base, router);
  if (!/^\.{0,2}\/|\.[cm]?js$/.test(router))
    try {
      file = createRequire(path.join(base, 'configuration')).resolve(router);
    } catch {
      return null;
    }
  return `${file}#sha256=${sha256(bytesOf(file))}`;
}

/**
 * Records that a router may run, because the user has named it.
 *
 * @throws TrainerError `BAD_CONFIG` if `ownRouterName` has not returned the name; as `trust`
 */
export function trustRouter(name: string): void {
  const [, file, hash] = NAME.exec(name) ?? [];
  if (file === undefined) throw noRouter(name);
  trust(hash!, file);
}

/**
 * Returns the file of a router and its bytes, or null for a built-in one.
 *
 * @throws TrainerError `BAD_CONFIG` if the file is missing or its bytes differ from those of the run, or if
 *   its user has never named them
 */
export function assertMayRun(name: string): { readonly file: string; readonly bytes: Buffer } | null {
  const [, file, expected] = NAME.exec(name) ?? [];
  if (file === undefined) return null;
  const bytes = bytesOf(file);
  const actual = sha256(bytes);
  if (actual !== expected) throw badRouter(file, `has SHA-256 ${actual} here, and ${expected} in the run`);
  if (isTrusted(actual)) return { file, bytes };
  const command = locmoeCommand(['config', 'show', '--config', 'tiny', '--set', `moe.router=${file}`]);
  throw badRouter(
    file,
    `with SHA-256 ${actual} was not run, as you have never named it: read it, and if you trust it, type ${command}`,
  );
}

function bytesOf(file: string): Buffer {
  try {
    return readRegularFile(file, MAX_BYTES);
  } catch (error) {
    throw badRouter(file, `cannot be read (${(error as Error).message})`);
  }
}

/** The error of a router that cannot be used. */
export function badRouter(file: string, why: string): TrainerError {
  return new TrainerError('BAD_CONFIG', `router ${file} ${why}`);
}

/** The error of a name that is neither a built-in router nor one that `ownRouterName` has returned. */
export function noRouter(name: string): TrainerError {
  return badRouter(name, 'is no router of this version, and no file');
}
