import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import type { RunConfig } from '../../src/config/schema.js';
import { Decoder } from '../../src/inference/decoder.js';
import type { LanguageModel } from '../../src/model/language-model.js';
import { ROUTER_NAMES } from '../../src/routing/index.js';
import { createTrainState } from '../../src/worker/state.js';
import { trainStep } from '../../src/worker/train-step.js';
import { expectClose, randomIntegers, tinyConfig } from '../model/support.js';

const seqLen = 16;
const vocabSize = 257;
const dModel = 16;

/** A model trained for a few steps, so that its experts have thresholds by which they refuse tokens. */
function trained(
  router: (typeof ROUTER_NAMES)[number],
  queryLayer: boolean,
  family: Partial<RunConfig['model']> = {},
): LanguageModel {
  const config = tinyConfig({
    model: {
      dModel,
      seqLen,
      vocabSize,
      dFeedForward: 32,
      numSparseLayers: 2,
      ...(family.family !== 'llama' && { queryLayer }),
      ...family,
    },
    // Half of the routers have narrow and shared experts.
    moe: {
      router,
      ...(router === 'hash' && { numExperts: 16, expertsPerToken: 4, lookBack: 2 }),
      ...(queryLayer && { dFeedForward: 24, sharedExperts: 2 }),
      ...(family.family === 'llama' && { sharedExperts: 1, sharedExpertGate: true }),
      expertGroups: 2,
      capacityFactor: 1,
      capacityBatches: 3,
      learnedGroups: true,
    },
  });
  const state = createTrainState(
    { ...config, train: { ...config.train, steps: 6, learningRate: 0.01, warmupSteps: 2 } },
    soloTransport(),
    null,
  );
  for (let step = 1; step <= 6; step++) {
    const ids = (name: string) => randomIntegers(`${name} ${step}`, 4 * seqLen, vocabSize);
    const domains = Int32Array.of(0, 1, 0, 1);
    const batch = { numSequences: 4, seqLen, tokenIds: ids('tokens'), targets: ids('targets'), domains };
    trainStep(state, { step, batches: [batch] });
  }
  return state.model;
}

function best(logits: Float32Array): number {
  return logits.indexOf(Math.max(...logits));
}

/** Heads share keys and values. Below, the case with a query layer has shared experts instead. */
const LLAMA = { family: 'llama', numHeads: 4, numKeyValueHeads: 2, normEpsilon: 1e-3 } as const;

/** Each router with or without a query layer, and one with both. */
const cases: readonly {
  readonly router: (typeof ROUTER_NAMES)[number];
  readonly queryLayer: boolean;
  readonly family?: Partial<RunConfig['model']>;
}[] = [
  ...ROUTER_NAMES.map((router, i) => ({ router, queryLayer: i % 2 === 0 })),
  { router: ROUTER_NAMES[0], queryLayer: false },
  { router: 'switch', queryLayer: false, family: { ...LLAMA, qkNorm: true, headDim: 6 } },
  {
    router: 'locmoe-plus',
    queryLayer: true,
    family: { ...LLAMA, attentionBias: true, tiedEmbedding: true },
  },
];

describe.each(cases)(
  'decoding with router $router, query layer $queryLayer, $family',
  ({ router, queryLayer, family }) => {
    let model: LanguageModel;
    let decoder: Decoder;
    beforeAll(() => {
      model = trained(router, queryLayer, family);
      decoder = new Decoder(model);
    });
    afterAll(() => model.dispose());

    const last = (hiddenSD: Float32Array) => decoder.logitsOf(hiddenSD.subarray(-dModel))[0];
    /** The algorithm of `locmoe generate` before it had a cache. */
    const slow = (tokenIds: readonly number[], domain: number) =>
      model.logits(Int32Array.from(tokenIds.slice(-seqLen)), domain);

    it('gives the logits of the whole window, also when it slides', () => {
      for (const domain of [0, 1]) {
        const tokenIds = [...randomIntegers(`prompt ${domain}`, 5, vocabSize)];
        const [{ sequence, hiddenSD }] = decoder.begin([{ tokenIds, domain, maxTokens: 14 }]);
        let logits = last(hiddenSD);
        for (let i = 0; i < 14; i++) {
          const expected = slow(sequence.tokenIds, domain);
          expectClose(logits, expected, 1e-5);
          [logits] = decoder.extend([sequence], [best(expected)]);
        }
      }
    });

    it('reads and extends sequences of different lengths together as each alone', () => {
      const lengths = [1, 2, 7, seqLen - 1, seqLen, seqLen + 3];
      const prompts = lengths.map((length, i) => ({
        tokenIds: [...randomIntegers(`prompt of ${length}`, length, vocabSize)],
        domain: i % 2,
        maxTokens: 4,
      }));
      const begun = decoder.begin(prompts);
      const sequences = begun.map(({ sequence }) => sequence);
      let logits = begun.map(({ hiddenSD }) => last(hiddenSD));
      for (let i = 0; i < 4; i++) {
        sequences.forEach(({ tokenIds, domain }, s) => {
          expectClose(logits[s], slow(tokenIds, domain), 1e-5);
        });
        logits = decoder.extend(sequences, [...randomIntegers(`next ${i}`, sequences.length, vocabSize)]);
      }
    });

    it('has the hidden state of every position of the window', () => {
      const tokenIds = [...randomIntegers('positions', 6, vocabSize)];
      const [{ hiddenSD }] = decoder.begin([{ tokenIds, domain: 1, maxTokens: 0 }]);
      decoder.logitsOf(hiddenSD).forEach((logits, i) => {
        expectClose(logits, slow(tokenIds.slice(0, i + 1), 1), 1e-5);
      });
    });
  },
);

it('refuses a prompt without tokens and ids that the model does not know', () => {
  const model = trained('hash', false);
  const decoder = new Decoder(model);
  const begin = (tokenIds: number[]) => () => decoder.begin([{ tokenIds, domain: 0, maxTokens: 1 }]);
  expect(begin([])).toThrow(/an empty prompt/);
  for (const id of [-1, vocabSize, 1.5]) expect(begin([0, id])).toThrow(`token id ${id}`);
  model.dispose();
});
