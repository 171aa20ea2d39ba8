// Trains a model with a large softmax for two steps, with the batch in the number of micro-batches given as argument,
// and prints the peak memory of the process and the size of activations by the planner.
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { runSchema } from '../../src/config/schema.js';
import { collectNow } from '../../src/garbage-collection.js';
import { leastRankMemory } from '../../src/model/rank-memory.js';
import { createTrainState } from '../../src/worker/state.js';
import { trainStep } from '../../src/worker/train-step.js';
import { randomIntegers, tinyConfig } from '../model/support.js';

const microBatches = Number(process.argv[2]);
const GLOBAL_BATCH = 16;
const numSequences = GLOBAL_BATCH / microBatches;
const seqLen = 128;
const vocabSize = 16_384;
const tiny = tinyConfig({ model: { seqLen, vocabSize }, moe: { router: 'hash' } });
const config = runSchema.parse({
  ...tiny,
  train: { ...tiny.train, globalBatch: GLOBAL_BATCH, microBatches },
});
let peak = 0;
const transport = {
  ...soloTransport(),
  // The process keeps memory that tensors have used, so no peak between two samples is missed. Garbage of JavaScript
  // would vary by 100 MB, the more with more micro-batches, and is collected first.
  setProgress() {
    collectNow();
    peak = Math.max(peak, process.memoryUsage.rss());
  },
};
const state = createTrainState(config, transport, null);
for (let step = 1; step <= 2; step++) {
  const batches = Array.from({ length: microBatches }, (_, i) => ({
    numSequences,
    seqLen,
    tokenIds: randomIntegers(`tokens ${step} ${i}`, numSequences * seqLen, vocabSize),
    targets: randomIntegers(`targets ${step} ${i}`, numSequences * seqLen, vocabSize),
    domains: new Int32Array(numSequences),
  }));
  trainStep(state, { step, batches });
}
console.log(JSON.stringify({ peak, activations: leastRankMemory(config).activations }));
