import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { RunFolder } from '@locmoe/run-format';
import { TrainerError } from '../errors.js';
import { folderProblem, makeFolder, PRIVATE_FOLDER } from '../os/make-folder.js';

/** @throws TrainerError `BAD_INPUT` if no new run in `runsDir` can have this name */
export function assertNewName(runsDir: string, name: string): void {
  if (!/^[a-z0-9][\w.-]{0,99}$/i.test(name))
    throw new TrainerError(
      'BAD_INPUT',
      `--name ${name}: expected at most 100 letters, digits, dots, dashes and underscores, the first a letter or digit`,
    );
  if (existsSync(path.join(runsDir, name)))
    throw new TrainerError(
      'BAD_INPUT',
      `--name ${name}: ${path.join(runsDir, name)} exists already; give another name, or go on with that run: --resume ${name}`,
    );
}

/**
 * Creates the folder of a new run.
 *
 * @param name id of the run; by default the recipe and the time, with a suffix if another run has that
 * @throws TrainerError as `assertNewName`, or `NO_RESOURCE` if the folder cannot be made
 */
export function createRunFolder(runsDir: string, recipe: string, name?: string, now = new Date()): RunFolder {
  const stamp = now.toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
  makeFolder(runsDir, '--runs-dir', PRIVATE_FOLDER);
  for (let attempt = 0; ; attempt++) {
    const runId = name ?? `${recipe}-${stamp}${attempt === 0 ? '' : `-${attempt}`}`;
    const directory = path.resolve(runsDir, runId);
    if (name !== undefined) assertNewName(runsDir, name);
    try {
      mkdirSync(directory, { mode: PRIVATE_FOLDER });
      return new RunFolder(directory);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
        throw folderProblem(runsDir, '--runs-dir', error);
    }
  }
}
