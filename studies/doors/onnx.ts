import path from 'node:path';
import type { Batch } from 'locmoe/internal/data/batch';
import { type Inference, openInference } from 'locmoe/internal/inference/inference';
import { tf } from 'locmoe/internal/ops/tensorflow';
import { matrix } from 'locmoe/internal/parameters/matrix';
import * as onnx from 'onnxruntime-node';
import { wholeSequences } from '../../packages/export/test/whole-sequences.js';
import { readAllRouters } from '../kit/routers.js';
import { validationBatch } from '../kit/validation-batch.js';
import type { DoorPart } from './figures.js';
import { exportTrained } from './trained.js';

const STEPS = 100;
const QUICK_STEPS = 10;
/** Sequences of each domain. */
const NUM_SEQUENCES = 8;

/**
 * Trains `tiny` with every router, exports it to ONNX, and compares the logits of each token of validation
 * sequences in onnxruntime-node with ours.
 */
export const onnxPart: DoorPart = async (context) => {
  let greatest = 0;
  for (const { id, sets } of readAllRouters('doors/routers.yaml')) {
    const steps = context.quick ? QUICK_STEPS : STEPS;
    const options = { to: 'onnx', name: id, sets: [...sets, `train.steps=${steps}`] };
    const { checkpoint, dataset, folder } = await exportTrained(context, options);
    const inference = openInference(checkpoint);
    const batch = validationBatch(inference, dataset, NUM_SEQUENCES);
    dataset.close();
    const own = tf.tidy(() => ownLogits(inference, batch));
    const session = await onnx.InferenceSession.create(path.join(folder, 'onnx/model.onnx'));
    const { logits } = await session.run(wholeSequences(session, batch.tokenIds, batch.domains), ['logits']);
    const difference = greatestDifference(own, logits!.data as Float32Array);
    context.log(`${id}: logits differ by at most ${difference.toExponential(1)}`);
    greatest = Math.max(greatest, difference);
    await session.release();
    inference.model.dispose();
  }
  return {
    figures: { onnxMaxLogitDifference: greatest },
    notes:
      `The recipe \`tiny\` with each router and its variants, after ${context.quick ? QUICK_STEPS : STEPS} steps; all logits of ` +
      `${NUM_SEQUENCES} validation sequences of each domain, in onnxruntime-node ${onnx.env.versions.node}.`,
  };
};

function ownLogits({ model }: Inference, batch: Batch): Float32Array {
  const { hiddenTD } = model.hidden(batch, { training: false });
  const logitsTV = tf.matMul(hiddenTD, matrix(model.parameters, 'embed.tokens'), false, true);
  return logitsTV.dataSync<'float32'>().slice();
}

function greatestDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}
