import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import {
  ANSWERED,
  answerMemory,
  awaitAnswer,
  expectAnswer,
  tell,
} from '../../../../src/ops/kernels/webgpu/answer.js';

it('an answer is read with its message, as far as there is memory for it', () => {
  const memory = answerMemory();
  tell(memory, ANSWERED.failed, 'é'.repeat(4000));
  expect(awaitAnswer(memory, 0)).toEqual({ state: ANSWERED.failed, text: 'é'.repeat(2048) });
  tell(memory, ANSWERED.done);
  expect(awaitAnswer(memory, 0)).toEqual({ state: ANSWERED.done, text: '' });
});

it('the notice of an earlier answer does not end the wait for the next', async () => {
  const memory = answerMemory();
  tell(memory, ANSWERED.failed, 'earlier');
  expectAnswer(memory);
  const thread = new Worker(
    `const { words } = require('node:worker_threads').workerData;
    for (let i = 0; i < 50; i++) { Atomics.notify(words, 0); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2); }
    words[1] = 0; Atomics.store(words, 0, ${ANSWERED.done}); Atomics.notify(words, 0);`,
    { eval: true, workerData: memory },
  );
  expect(awaitAnswer(memory, 60_000)).toEqual({ state: ANSWERED.done, text: '' });
  await thread.terminate();
});

it('a wait for an answer has a deadline', () => {
  const memory = answerMemory();
  expectAnswer(memory);
  const begin = performance.now();
  expect(awaitAnswer(memory, 50)).toBe(null);
  expect(performance.now() - begin).toBeGreaterThanOrEqual(50);
});
