import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Checkpoint, openCheckpoint } from 'locmoe/checkpoint/checkpoint';
import { saveCheckpoint } from 'locmoe/checkpoint/checkpointer';
import { soloTransport } from 'locmoe/collectives/solo-transport';
import { type RunConfig, runSchema } from 'locmoe/config/schema';
import { tokenizerJson, trainBpe } from 'locmoe/data/bpe-trainer';
import { loadTokenizer } from 'locmoe/data/tokenizer';
import { PanguSigma } from 'locmoe/model/pangu-sigma';
import { createTrainState, loadModel, tensorsToSave } from 'locmoe/worker/state';
import { trainStep } from 'locmoe/worker/train-step';

/** One text for each domain. */
const TEXTS = {
  en: 'The whale swam past the ship, and the crew saw the whale swim on. ',
  code: 'for (const part of parts) sum += part.length; // the sum of the parts\n',
  zh: '鲸鱼游过了船，船员看见鲸鱼游走了。',
};
const DOMAINS = Object.keys(TEXTS) as (keyof typeof TEXTS)[];
const VOCABULARY = 300;

type Overrides = { readonly [K in 'model' | 'moe' | 'train']?: Partial<RunConfig[K]> };

export function smallConfig({ model, moe, train }: Overrides = {}): RunConfig {
  return runSchema.parse({
    name: 'small-export',
    seed: 5,
    model: {
      ...{ dModel: 32, numHeads: 4, numDenseLayers: 1, numSparseLayers: 2, dFeedForward: 48 },
      ...{ vocabSize: VOCABULARY, seqLen: 16 },
      ...model,
    },
    // Capacity is scarce, so that thresholds are learned that keep tokens out.
    moe: { numExperts: 8, expertGroups: 2, capacityFactor: 0.8, ...moe },
    data: { domains: DOMAINS },
    train: { steps: 12, globalBatch: 6, learningRate: 0.02, ...train },
  });
}

/** Trains a small model on the three texts in this process, and saves it in `folder`. */
export function trainedCheckpoint(folder: string, config: RunConfig): Checkpoint {
  const { steps, globalBatch } = config.train;
  const { seqLen } = config.model;
  mkdirSync(folder, { recursive: true });
  const tokenizerFile = path.join(folder, 'tokenizer.json');
  writeFileSync(
    tokenizerFile,
    tokenizerJson(trainBpe([...Object.values(TEXTS), ...Object.values(TEXTS)], VOCABULARY)),
  );
  const tokenizer = loadTokenizer(tokenizerFile);
  const idsOfDomain = DOMAINS.map((domain) => tokenizer.encode(TEXTS[domain].repeat(seqLen)));
  const state = createTrainState(config, soloTransport(), null);
  for (let step = 1; step <= steps; step++) {
    const domains = Int32Array.from({ length: globalBatch }, (_, i) => i % DOMAINS.length);
    const windows = Array.from(domains, (domain, i) => {
      const from = (step * globalBatch + i) % (idsOfDomain[domain].length - seqLen);
      return idsOfDomain[domain].subarray(from, from + seqLen + 1);
    });
    trainStep(state, step, [
      {
        numSequences: globalBatch,
        seqLen,
        tokenIds: Int32Array.from(windows.flatMap((window) => [...window.subarray(0, -1)])),
        targets: Int32Array.from(windows.flatMap((window) => [...window.subarray(1)])),
        domains,
      },
    ]);
  }
  const saved = saveCheckpoint(state.transport, {
    root: path.join(folder, 'checkpoints'),
    ...{ step: steps, generation: 1, keep: 1, runId: 'small-export' },
    ...{ config, tokenizerFile, data: { nextStep: steps }, metrics: {} },
    tensors: tensorsToSave(state),
  });
  state.model.dispose();
  return openCheckpoint(saved);
}

/** Token ids of the start of each domain's text, `length` of each. */
export function promptsOf({ tokenizerFile }: Checkpoint, length: number): number[][] {
  const tokenizer = loadTokenizer(tokenizerFile);
  return DOMAINS.map((domain) => {
    const ids = [tokenizer.endOfText, ...tokenizer.encode(TEXTS[domain].repeat(length))];
    return ids.slice(0, length);
  });
}

/** Our logits after each token of each sequence, whose domains are 0, 1, ..: [B, S, V]. */
export function ownLogits(checkpoint: Checkpoint, sequences: readonly (readonly number[])[]): number[][][] {
  const model = new PanguSigma(checkpoint.manifest.config, soloTransport());
  loadModel(model, checkpoint);
  const logits = sequences.map((ids, domain) =>
    ids.map((_, last) => [...model.logits(Int32Array.from(ids.slice(0, last + 1)), domain)]),
  );
  model.dispose();
  return logits;
}
