// Trains a tiny model in a process of its own and prints what the process holds after 400 steps and after 1,200.
import * as tf from '@tensorflow/tfjs-node';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { createTrainState } from '../../src/worker/state.js';
import { trainStep } from '../../src/worker/train-step.js';
import { randomIntegers, tinyConfig } from '../model/support.js';

const state = createTrainState(tinyConfig({ moe: { router: 'switch' } }), soloTransport(), null);
const marks: { step: number; residentBytes: number; tensors: number }[] = [];
for (let step = 1; step <= 1200; step++) {
  trainStep(state, step, {
    numSequences: 4,
    seqLen: 6,
    tokenIds: randomIntegers(`tokens ${step}`, 24, 257),
    targets: randomIntegers(`targets ${step}`, 24, 257),
    domains: Int32Array.of(0, 1, 0, 1),
  });
  if (step !== 400 && step !== 1200) continue;
  globalThis.gc!();
  marks.push({ step, residentBytes: process.memoryUsage.rss(), tensors: tf.memory().numTensors });
}
console.log(JSON.stringify(marks));
