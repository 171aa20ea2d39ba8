// Begins one generation after another in a separate process, aborts each at another of its collectives, and prints the tensors and
// the memory that the process holds after each.
import { setImmediate as nextTurn } from 'node:timers/promises';
import * as tf from '@tensorflow/tfjs-node';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { TrainerError } from '../../src/errors.js';
import { collectNow } from '../../src/garbage-collection.js';
import { createTrainState } from '../../src/worker/state.js';
import { trainStep } from '../../src/worker/train-step.js';
import { randomIntegers, tinyConfig } from '../model/support.js';

const NUM_GENERATIONS = 20;
const [numSequences, seqLen] = [4, 64];
const config = tinyConfig({ model: { dModel: 256, dFeedForward: 1024, seqLen }, moe: { router: 'switch' } });

/** Runs two steps; the collective of this number is aborted. Returns the number of collectives. */
function generation(abortAt: number): number {
  const solo = soloTransport();
  let numCollectives = 0;
  const transport = {
    ...solo,
    start(...args: Parameters<typeof solo.start>) {
      if (++numCollectives === abortAt) throw new TrainerError('ABORTED', 'rank 1 failed');
      return solo.start(...args);
    },
  };
  const state = createTrainState(config, transport, null);
  try {
    for (let step = 1; step <= 2; step++) {
      const batch = {
        numSequences,
        seqLen,
        tokenIds: randomIntegers(`tokens ${step}`, numSequences * seqLen, 257),
        targets: randomIntegers(`targets ${step}`, numSequences * seqLen, 257),
        domains: Int32Array.of(0, 1, 0, 1),
      };
      trainStep(state, { step, batches: [batch] });
    }
  } catch (error) {
    if (!(error instanceof TrainerError) || error.code !== 'ABORTED') throw error;
  }
  state.model.dispose();
  return numCollectives;
}

const numCollectives = generation(0);
const held: { readonly tensors: number; readonly residentBytes: number }[] = [];
for (let i = 0; i < NUM_GENERATIONS; i++) {
  generation(1 + Math.floor(((i + 0.5) / NUM_GENERATIONS) * numCollectives));
  // A worker collects at this point, too.
  collectNow();
  await nextTurn();
  collectNow();
  held.push({ tensors: tf.memory().numTensors, residentBytes: process.memoryUsage.rss() });
}
console.log(JSON.stringify(held));
