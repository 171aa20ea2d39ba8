import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { RunFolder } from '@locmoe/run-format';
import { folderProblem, makeFolder, PRIVATE_FOLDER } from '../os/make-folder.js';

/** Creates the folder of a new run, named after the recipe and the time. */
export function createRunFolder(runsDir: string, name: string, now = new Date()): RunFolder {
  const stamp = now.toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
  makeFolder(runsDir, '--runs-dir', PRIVATE_FOLDER);
  for (let attempt = 0; ; attempt++) {
    const directory = path.resolve(runsDir, `${name}-${stamp}${attempt === 0 ? '' : `-${attempt}`}`);
    try {
      mkdirSync(directory, { mode: PRIVATE_FOLDER });
      return new RunFolder(directory);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
        throw folderProblem(runsDir, '--runs-dir', error);
    }
  }
}
