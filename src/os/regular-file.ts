import { readFileSync, statSync } from 'node:fs';
import { TrainerError } from '../errors.js';

/**
 * Reads a file of a folder in which others write too: opening a pipe would wait for its other end.
 *
 * @throws TrainerError `BAD_INPUT` if it is a folder, a pipe or a device
 */
export function readRegularFile(file: string): Buffer {
  if (!statSync(file).isFile()) throw new TrainerError('BAD_INPUT', `${file}: is no regular file`);
  return readFileSync(file);
}
