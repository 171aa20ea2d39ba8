import { existsSync } from 'node:fs';
import path from 'node:path';
import { TrainerError } from '../errors.js';

/**
 * Checks that a file can be written that is not there yet, before the work that leads to it.
 *
 * @param option that names it
 * @throws TrainerError `BAD_INPUT`
 */
export function assertNewFile(option: string, file: string): void {
  if (existsSync(file))
    throw new TrainerError('BAD_INPUT', `${option} ${file}: is there already; name a new file`);
  if (!existsSync(path.dirname(file)))
    throw new TrainerError('BAD_INPUT', `${option} ${file}: there is no folder ${path.dirname(file)}`);
}
