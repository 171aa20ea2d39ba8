import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { LanguageModel } from '../../src/model/language-model.js';
import { validate } from '../../src/worker/validation.js';
import { tinyConfig } from '../model/support.js';
import { packedBatchesOf, validationBatchOf } from './step-batches.js';

it('validates each domain by the mean over its tokens that count, without padding', () => {
  const model = new LanguageModel(tinyConfig(), soloTransport());
  const [batch] = packedBatchesOf(1);
  const found = validate(
    model,
    soloTransport(),
    [validationBatchOf(batch!, Uint8Array.of(1, 1, 1, 0))],
    ['a', 'b'],
  );
  const [first, second, third] = packedBatchesOf(1, 4).map((alone) =>
    tf.tidy(() => model.loss(alone, { training: false }).crossEntropy.dataSync()[0]!),
  ) as [number, number, number];
  expect(found.map(({ domain, tokens }) => [domain, tokens])).toEqual([
    ['a', 4 + 5],
    ['b', 1],
  ]);
  expect(found[0]!.loss).toBeCloseTo((4 * first + 5 * third) / 9, 5);
  expect(found[1]!.loss).toBeCloseTo(second, 5);
  model.dispose();
});
