// Trains a model with a large softmax for two steps, with the batch in as many micro-batches as the argument
// says, and prints the memory that the process had at its peak and what the planner counts as activations.
import { readFileSync } from 'node:fs';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { runSchema } from '../../src/config/schema.js';
import { leastRankMemory } from '../../src/model/rank-memory.js';
import { createTrainState } from '../../src/worker/state.js';
import { trainStep } from '../../src/worker/train-step.js';
import { randomIntegers, tinyConfig } from '../model/support.js';

const microBatches = Number(process.argv[2]);
const numSequences = 32 / microBatches;
const seqLen = 128;
const vocabSize = 16_384;
const tiny = tinyConfig({ model: { seqLen, vocabSize }, moe: { router: 'hash' } });
const config = runSchema.parse({ ...tiny, train: { ...tiny.train, globalBatch: 32, microBatches } });
const state = createTrainState(config, soloTransport(), null);
for (let step = 1; step <= 2; step++) {
  const batches = Array.from({ length: microBatches }, (_, i) => ({
    numSequences,
    seqLen,
    tokenIds: randomIntegers(`tokens ${step} ${i}`, numSequences * seqLen, vocabSize),
    targets: randomIntegers(`targets ${step} ${i}`, numSequences * seqLen, vocabSize),
    domains: new Int32Array(numSequences),
  }));
  trainStep(state, step, batches);
}
const peakKiB = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
console.log(JSON.stringify({ peak: 1024 * peakKiB, activations: leastRankMemory(config).activations }));
