import { inPhase, type Log } from '../../scripts/progress.mjs';
import { hasTensorFlow, setupTensorFlow } from '../../scripts/tensorflow.mjs';
import { TrainerError } from '../errors.js';

/** Tells whether this Node has all functions that the code calls; newer versions are accepted (see `locmoe doctor`). */
export function isSupportedNode(): boolean {
  return Number(process.versions.node.split('.')[0]) >= 20;
}

/**
 * Installs TensorFlow if it is missing: `npm install` does not, as that would run the vendor's install script.
 *
 * @throws TrainerError as `setUpTensorFlow`, and for a version of Node that is too old
 */
export async function ensureTensorFlow(): Promise<void> {
  if (!isSupportedNode())
    throw new TrainerError('NO_RESOURCE', `Node ${process.versions.node} is too old: use 20 or later`);
  if (hasTensorFlow()) return;
  console.error('locmoe: TensorFlow is not set up yet; installing it now, once (about 300 MB on disk)');
  await setUpTensorFlow();
}

/** @throws TrainerError `NO_RESOURCE` with advice if it cannot be fetched, or does not load */
export function setUpTensorFlow(): Promise<void> {
  return setUp('tensorflow', setupTensorFlow);
}

/**
 * Runs a part of the set-up, and reports on stderr its progress and duration.
 *
 * @throws TrainerError `NO_RESOURCE` if it fails
 */
export async function setUp(name: string, run: (log: Log) => void | Promise<void>): Promise<void> {
  try {
    await inPhase(name, run);
  } catch (error) {
    throw new TrainerError('NO_RESOURCE', `set-up: ${(error as Error).message}`, {}, { cause: error });
  }
}
