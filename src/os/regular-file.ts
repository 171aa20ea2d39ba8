import { readFileSync, statSync } from 'node:fs';
import { TrainerError } from '../errors.js';

/**
 * Reads a file of a folder in which others write too.
 *
 * @throws TrainerError as `assertRegular`; the file system's error
 */
export function readRegularFile(file: string): Buffer {
  assertRegular(file);
  return readFileSync(file);
}

/**
 * To be called before a file is opened: opening a pipe waits for its other end.
 *
 * @throws TrainerError `BAD_INPUT` if it is a folder, a pipe or a device; the file system's error if there is none
 */
export function assertRegular(file: string): void {
  if (!statSync(file).isFile()) throw new TrainerError('BAD_INPUT', `${file}: is no regular file`);
}
