// Runs as a process with the root `argv[2]`: generation 1 saves steps 1 and 2, then generation 2 starts with the
// failpoint `argv[4]` set, and saves step `argv[3]` and the next one.

import { saveCheckpoint } from '../../src/checkpoint/checkpointer.js';
import { claimCheckpoints } from '../../src/checkpoint/folders.js';
import { asTrainerError, EXIT } from '../../src/errors.js';
import { armFailpoint } from '../../src/failpoint.js';
import { saveOptions, tensorsOf } from './fixture.js';

const [root, numSteps, failpoint] = process.argv.slice(2);
const save = (generation: number, step: number, from: number) =>
  saveCheckpoint({ ...saveOptions(root, step, tensorsOf(0, 1, from)), generation });

try {
  for (const step of [1, 2]) save(1, step, step);
  armFailpoint(failpoint);
  claimCheckpoints(root, 2);
  // Values one hundred higher than those of the generation before, so that a replaced step can be told from the first.
  for (const step of [Number(numSteps), Number(numSteps) + 1]) save(2, step, step + 100);
} catch (error) {
  const { code, line } = asTrainerError(error);
  console.error(`${code} ${line}`);
  process.exit(EXIT.failedRun);
}
