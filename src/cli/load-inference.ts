import type { Checkpoint } from '../checkpoint/checkpoint.js';
import type { Inference } from '../inference/inference.js';
import { ensureTensorFlow } from './set-up.js';

/**
 * Loads the model of a checkpoint. TensorFlow is set up first if it is missing, which may take minutes, so all
 * arguments are checked before.
 *
 * @throws TrainerError as `ensureTensorFlow` and `openInference`
 */
export async function loadInference(checkpoint: Checkpoint): Promise<Inference> {
  await ensureTensorFlow();
  const { openInference } = await import('../inference/inference.js');
  return openInference(checkpoint);
}
