// Trains a tiny model in a separate process and prints the least memory that the process held in steps 301 to 600, and
// in steps 601 to 900.
import * as tf from '@tensorflow/tfjs-node';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { collectNow } from '../../src/garbage-collection.js';
import { createTrainState } from '../../src/worker/state.js';
import { trainStep } from '../../src/worker/train-step.js';
import { randomIntegers, tinyConfig } from '../model/support.js';

const state = createTrainState(tinyConfig({ moe: { router: 'switch' } }), soloTransport(), null);
const spans: { residentBytes: number; tensors: number }[] = [];
let residentBytes = Number.POSITIVE_INFINITY;
for (let step = 1; step <= 900; step++) {
  const batch = {
    numSequences: 4,
    seqLen: 6,
    tokenIds: randomIntegers(`tokens ${step}`, 24, 257),
    targets: randomIntegers(`targets ${step}`, 24, 257),
    domains: Int32Array.of(0, 1, 0, 1),
  };
  trainStep(state, { step, batches: [batch] });
  if (step <= 300 || step % 20 !== 0) continue;
  // Garbage between collections varies by 100 MB, so the minimum of many samples shows what stays.
  collectNow();
  residentBytes = Math.min(residentBytes, process.memoryUsage.rss());
  if (step % 300 !== 0) continue;
  spans.push({ residentBytes, tensors: tf.memory().numTensors });
  residentBytes = Number.POSITIVE_INFINITY;
}
console.log(JSON.stringify(spans));
