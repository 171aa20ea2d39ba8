import { ifWanted } from '../../gradient-target.js';
import type { tf } from '../../tensorflow.js';
import type { FusedForward } from '../kernels.js';
import type { DeviceMemory, DeviceTensor } from './device-memory.js';
import { matrixOf, product, transposed } from './products.js';
import { scaledRows } from './rows.js';
import { rowwise } from './shaders.js';

// Shapes: T tokens, d hidden size, V vocabulary, C rows of a chunk.

/** Bytes of the logits of a chunk of tokens: devices bind arrays of 128 MB at least. */
const CHUNK_BYTES = 64 << 20;

/** Replaces logits by softmax - one-hot, and writes the losses. */
const LOSS = rowwise(
  'cross-entropy',
  ['u32 targets', 'out logits', 'out losses'],
  `
  var most = -3.0e38;
  for (var i = index; i < p.width; i += WIDTH) { most = max(most, logits[begin + i]); }
  parts[index] = most;
  workgroupBarrier();
  for (var i = 0u; i < WIDTH; i++) { most = max(most, parts[i]); }
  workgroupBarrier();
  var part = 0.0;
  for (var i = index; i < p.width; i += WIDTH) { part += exp(logits[begin + i] - most); }
  let sum = total(part, index);
  let ofTarget = logits[begin + targets[p.first + row]];
  // No invocation may write a logit before all have read that of the target.
  storageBarrier();
  for (var i = index; i < p.width; i += WIDTH) {
    logits[begin + i] = exp(logits[begin + i] - most) / sum - select(0.0, 1.0, i == targets[p.first + row]);
  }
  if (index == 0) { losses[p.first + row] = log(sum) + most - ofTarget; }
`,
  ['first'],
);

/** Implements `Kernels.tiedCrossEntropy`; keeps softmax - one-hot of each chunk of tokens, from which products give the gradients. */
export function tiedCrossEntropy(
  memory: DeviceMemory,
  xTD: tf.Tensor2D,
  embeddingVD: tf.Tensor2D,
  targetsT: Int32Array,
): FusedForward {
  const { device } = memory;
  const [numTokens, d] = xTD.shape;
  const vocabSize = embeddingVD.shape[0];
  const size = Math.max(1, Math.floor(CHUNK_BYTES / (4 * vocabSize)));
  const losses = memory.create([numTokens]);
  const chunks: DeviceTensor[] = [];
  const x = matrixOf(memory, xTD);
  memory.borrow(targetsT, (targets) => {
    for (let begin = 0; begin < numTokens; begin += size) {
      const rows = Math.min(size, numTokens - begin);
      const logits = memory.create([rows, vocabSize]);
      const some = { ...x, rows, begin: begin * d };
      product(memory, some, transposed(matrixOf(memory, embeddingVD)), logits.buffer);
      device.run(LOSS, [targets, logits.buffer, losses.buffer], [rows, vocabSize, begin], rows);
      chunks.push(logits);
    }
  });
  return {
    value: losses.tensor,
    saved: [xTD, embeddingVD, ...chunks.map(({ tensor }) => tensor)],
    backward: (dyT, [keptX, keptEmbedding, ...dLogits]) => {
      const everyRow = Int32Array.from({ length: numTokens }, (_, row) => row);
      const dx = memory.create(xTD.shape);
      dLogits.forEach((chunk, i) => {
        const options = { begin: i * size * d };
        product(memory, matrixOf(memory, chunk), matrixOf(memory, keptEmbedding!), dx.buffer, options);
      });
      const dEmbedding = ifWanted(keptEmbedding!, () => {
        const gradient = memory.create(embeddingVD.shape);
        const scaled = matrixOf(memory, scaledRows(memory, keptX!, dyT, everyRow));
        dLogits.forEach((chunk, i) => {
          const some = { ...scaled, rows: chunk.shape[0]!, begin: i * size * d };
          const ofChunk = transposed(matrixOf(memory, chunk));
          product(memory, ofChunk, some, gradient.buffer, { accumulates: i > 0 });
        });
        return gradient.tensor;
      });
      return [scaledRows(memory, dx.tensor, dyT, everyRow), dEmbedding];
    },
  };
}
