import * as tf from '@tensorflow/tfjs-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { encodePair, logLikelihoods, type ScoredText } from '../../src/inference/log-likelihood.js';
import { randomIntegers } from '../model/support.js';
import { type SmallInference, smallInference } from './small-inference.js';

const seqLen = 24;
let inference: SmallInference;
beforeAll(() => {
  inference = smallInference(seqLen);
});
afterAll(() => inference.remove());

const text = (name: string, length: number, numScored: number, domain = 0): ScoredText => ({
  tokenIds: [...randomIntegers(name, length, 300)],
  numScored,
  domain,
});

function slow({ tokenIds, numScored, domain }: ScoredText): number {
  let sum = 0;
  for (let i = tokenIds.length - numScored; i < tokenIds.length; i++)
    sum += inference.slowLogProb(tokenIds.slice(0, i), tokenIds[i], domain);
  return sum;
}

it('sums the log-probabilities of the scored tokens, those of many texts together as of each alone', () => {
  const texts = Array.from({ length: 400 }, (_, i) =>
    text(`text ${i}`, 2 + (i % seqLen), 1 + (i % Math.min(5, 1 + (i % seqLen))), i % 2),
  );
  const together = logLikelihoods(inference, texts);
  texts.forEach((each, i) => {
    const [alone] = logLikelihoods(inference, [each]);
    expect(together[i].sum).toBeCloseTo(alone.sum, 5);
    expect(together[i].isGreedy).toBe(alone.isGreedy);
    if (i % 10 === 0) expect(together[i].sum).toBeCloseTo(slow(each), 4);
  });
});

it('leaves no tensor behind', () => {
  const texts = Array.from({ length: 50 }, (_, i) => text(`left `, 5 + (i % 15), 3));
  logLikelihoods(inference, texts);
  const { numTensors } = tf.memory();
  logLikelihoods(inference, texts);
  expect(tf.memory().numTensors).toBe(numTensors);
});

it('knows the likeliest continuation', () => {
  const { tokenIds } = text('greedy', 8, 0);
  const logits = inference.model.logits(Int32Array.from(tokenIds), 1);
  const likeliest = logits.indexOf(Math.max(...logits));
  const found = logLikelihoods(
    inference,
    [likeliest, (likeliest + 1) % 300].map((id) => ({
      tokenIds: [...tokenIds, id],
      numScored: 1,
      domain: 1,
    })),
  );
  expect(found.map(({ isGreedy }) => isGreedy)).toEqual([true, false]);
});

it('takes a domain into account where texts are equal', () => {
  const one = text('domains', 10, 3);
  const [a, b] = logLikelihoods(inference, [one, { ...one, domain: 1 }]);
  expect(a.sum).toBeCloseTo(slow(one), 4);
  expect(b.sum).toBeCloseTo(slow({ ...one, domain: 1 }), 4);
  expect(Math.abs(a.sum - b.sum)).toBeGreaterThan(0.01);
});

it('cuts context and continuation where the context alone ends', () => {
  const { tokenizer } = inference;
  const encode = (each: string) => [...tokenizer.encode(each)];
  const whole = encode('the cat sat');
  const { length } = encode('the cat');
  expect(encodePair(tokenizer, 'the cat', ' sat').continuationIds).toEqual(whole.slice(length));
  // White space at the end of the context goes to the continuation.
  expect(encodePair(tokenizer, 'the cat ', 'sat')).toEqual(encodePair(tokenizer, 'the cat', ' sat'));
  expect(encodePair(tokenizer, '', ' sat')).toEqual({
    contextIds: [tokenizer.endOfText],
    continuationIds: encode(' sat'),
  });
});
