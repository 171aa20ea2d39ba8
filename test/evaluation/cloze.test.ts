import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Dataset } from '../../src/data/dataset.js';
import { answerCloze, clozeItems, continuationTokens, NUM_CHOICES } from '../../src/evaluation/cloze.js';
import { type SmallInference, scorerOf, smallInference } from '../inference/small-inference.js';

const seqLen = 16;
const END = 299;
let inference: SmallInference;
beforeAll(() => {
  inference = smallInference(seqLen);
});
afterAll(() => inference.remove());

/** Validation text in which token i follows token i - 1; an end of text now and then. */
const counting = (length: number, endEvery: number) =>
  Uint16Array.from({ length }, (_, i) => (i % endEvery === endEvery - 1 ? END : i % 290));

function dataset(...texts: readonly Uint16Array[]): Dataset {
  const domains = texts.map((ids, i) => ({ name: 'ab'[i], validation: { ids } }));
  return { domains } as unknown as Dataset;
}

const options = { seqLen, endOfText: END, count: 50, seed: 1 };

it('draws the true continuation and three others of the same domain, all equally long, from a seed', () => {
  const text = dataset(counting(2_000, 70), counting(3_000, 41));
  const items = clozeItems(text, options);
  expect(items.filter(({ domain }) => domain === 0)).toHaveLength(50);
  expect(items.filter(({ domain }) => domain === 1)).toHaveLength(50);
  expect(continuationTokens(seqLen)).toBe(4);
  const places = new Set<number>();
  for (const { domain, begin, contextIds, continuations, answer } of items) {
    const { ids } = text.domains[domain].validation;
    const end = begin + contextIds.length;
    expect([...ids.slice(begin, end)]).toEqual(contextIds);
    expect([...ids.slice(end, end + 4)]).toEqual(continuations[answer]);
    expect(contextIds.length).toBeLessThanOrEqual(seqLen - 3);
    expect(contextIds.length).toBeGreaterThanOrEqual(8);
    // A context never reaches into the previous text: only its first token may be an end of text.
    expect(contextIds.lastIndexOf(END)).toBeLessThanOrEqual(0);
    expect(new Set(continuations.map(String)).size).toBe(NUM_CHOICES);
    for (const continuation of continuations) {
      expect(continuation).toHaveLength(4);
      expect(continuation).not.toContain(END);
    }
    if (domain === 0) places.add(begin);
  }
  expect(places.size).toBe(50);
  expect(new Set(items.map(({ answer }) => answer)).size).toBe(NUM_CHOICES);
  expect(clozeItems(text, options)).toEqual(items);
  expect(clozeItems(text, { ...options, seed: 2 })).not.toEqual(items);
  // Fewer items are drawn than an item has choices.
  expect(clozeItems(text, { ...options, count: 1 }).map(({ domain }) => domain)).toEqual([0, 1]);
});

it('takes the likeliest, by a slow loop too', async () => {
  const items = clozeItems(dataset(counting(2_000, 70), counting(2_000, 41)), { ...options, count: 20 });
  const progress: number[] = [];
  const answers = await answerCloze(scorerOf(inference), items, {
    onProgress: (done) => progress.push(done),
    signal: new AbortController().signal,
  });
  expect(progress).toEqual([32, 40]);
  for (const { domain, contextIds, continuations, answer, metrics } of answers) {
    const sumsAfter = (before: readonly number[]) =>
      continuations.map((ids) =>
        ids.reduce(
          (sum, id, i) => sum + inference.slowLogProb([...before, ...ids.slice(0, i)], id, domain),
          0,
        ),
      );
    const sums = sumsAfter(contextIds);
    const alone = sumsAfter([inference.tokenizer.endOfText]);
    const best = (scores: readonly number[]) => scores.indexOf(Math.max(...scores));
    expect(metrics).toEqual({
      acc: Number(best(sums) === answer),
      acc_mutual_info: Number(best(sums.map((sum, i) => sum - alone[i])) === answer),
    });
  }
});

it('refuses a domain with too little text, or text that says the same again and again', () => {
  const refused = (ids: Uint16Array, message: RegExp) =>
    expect(() => clozeItems(dataset(ids), options)).toThrow(message);
  refused(counting(3 * (seqLen + 1), 1_000), /^domain a has validation text for 3 continuations; at least 4/);
  refused(new Uint16Array(2_000).fill(7), /^domain a has .* 50 continuations; at least 4 different ones/);
});
