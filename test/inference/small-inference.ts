import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { saveCheckpoint } from '../../src/checkpoint/checkpointer.js';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { tokenizerJson, trainBpe } from '../../src/data/tokenizer/bpe-trainer.js';
import { type Inference, openInference } from '../../src/inference/inference.js';
import type { Scorer } from '../../src/inference/log-likelihood.js';
import { logLikelihoods } from '../../src/inference/log-likelihood.js';
import { createTrainState, tensorsToSave } from '../../src/worker/state.js';
import { randomValues, tinyConfig } from '../model/support.js';

const TEXT =
  'Question: what is the answer? Answer: A. B. C. D. E. the cat sat on the mat 问题：猫坐在哪里？答案：垫子上。 '.repeat(
    20,
  );

type TinyOverrides = NonNullable<Parameters<typeof tinyConfig>[0]>;

export interface SmallInference extends Inference {
  /** Log-probability of a token after others, by a slow loop over all logits. */
  readonly slowLogProb: (before: readonly number[], id: number, domain: number) => number;
  readonly remove: () => void;
}

/** Saves a model of random weights with a tokenizer of 300 tokens in `folder`, and opens it. */
export function randomInference(folder: string, text: string, overrides: TinyOverrides): Inference {
  const tokenizerFile = path.join(folder, 'tokenizer.json');
  writeFileSync(tokenizerFile, tokenizerJson(trainBpe([text], 300)));
  const config = tinyConfig({
    ...overrides,
    model: { ...overrides.model, vocabSize: 300, dModel: 16 },
  });
  const state = createTrainState(config, soloTransport(), null);
  for (const { ranges, values } of [state.model.parameters.shared, state.model.parameters.expert])
    for (const { name, shape, begin, end } of ranges)
      if (shape.length === 2) values.set(randomValues(name, end - begin, 0.4), begin);
  const saved = saveCheckpoint({
    root: path.join(folder, 'checkpoints'),
    step: 1,
    generation: 1,
    keep: 1,
    runId: 'run',
    config,
    tokenizerFile,
    metrics: {},
    tensors: tensorsToSave(state),
  });
  state.model.dispose();
  return openInference(openCheckpoint(saved));
}

/** A scorer in this process. */
export function scorerOf(inference: Inference): Scorer {
  const { checkpoint, config, tokenizer } = inference;
  return {
    checkpoint,
    config,
    tokenizer,
    atOnce: 1,
    score: async (texts) => logLikelihoods(inference, texts),
  };
}

/** A model with the domains a and b, with experts of their own. */
export function smallInference(seqLen: number): SmallInference {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-inference-'));
  const inference = randomInference(folder, TEXT, {
    model: { seqLen },
    moe: { expertGroups: 2 },
    data: { domains: ['a', 'b'] },
  });
  return {
    ...inference,
    slowLogProb: (before, id, domain) => {
      const logits = inference.model.logits(Int32Array.from(before), domain);
      return logits[id] - Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
    },
    remove: () => {
      inference.model.dispose();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
