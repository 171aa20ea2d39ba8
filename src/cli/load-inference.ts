import type { Checkpoint } from '../checkpoint/checkpoint.js';
import type { Inference } from '../inference/inference.js';
import { ensureTensorFlow } from './set-up.js';

/**
 * The model of a checkpoint. TensorFlow is set up first where it is missing, which may take minutes: check all arguments
 * before.
 *
 * @throws TrainerError as `ensureTensorFlow` and `openInference`
 */
export async function loadInference(checkpoint: Checkpoint): Promise<Inference> {
  await ensureTensorFlow();
  const { openInference } = await import('../inference/inference.js');
  return openInference(checkpoint);
}
