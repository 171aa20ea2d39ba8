import { existsSync } from 'node:fs';
import path from 'node:path';
import { TrainerError } from '../errors.js';

/**
 * Checks that a file does not exist yet, before the work that leads to writing it.
 *
 * @param option option that names the file
 * @throws TrainerError `BAD_INPUT` if the file exists
 */
export function assertNewFile(option: string, file: string): void {
  if (existsSync(file))
    throw new TrainerError('BAD_INPUT', `${option} ${file}: is there already; name a new file`);
  if (!existsSync(path.dirname(file)))
    throw new TrainerError('BAD_INPUT', `${option} ${file}: there is no folder ${path.dirname(file)}`);
}
