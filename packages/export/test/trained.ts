import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Checkpoint, openCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { saveCheckpoint } from 'locmoe/internal/checkpoint/checkpointer';
import { soloTransport } from 'locmoe/internal/collectives/solo-transport';
import { type RunConfig, runSchema } from 'locmoe/internal/config/schema';
import type { Batch } from 'locmoe/internal/data/batch';
import { encodeMessages, type Message, templateOf } from 'locmoe/internal/data/template';
import { tokenizerJson, trainBpe } from 'locmoe/internal/data/tokenizer/bpe-trainer';
import { loadTokenizer } from 'locmoe/internal/data/tokenizer/tokenizer';
import type { Inference } from 'locmoe/internal/inference/inference';
import { tf } from 'locmoe/internal/ops/tensorflow';
import { createTrainState, tensorsToSave } from 'locmoe/internal/worker/state';
import { trainStep } from 'locmoe/internal/worker/train-step';
import { NIGHTLY } from '../../../test/nightly.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
/** Enough for thresholds that refuse tokens, and for a table of choices. */
const STEPS = 6;
/** Enough steps to learn one answer by heart, whichever tokenizer the texts of the checkout lead to. */
const STEPS_BY_HEART = 60;
const VOCABULARY = 400;

/** Text of two domains that is there in every checkout. */
const TEXTS: Readonly<Record<string, string>> = {
  prose: textOf('docs', '.md'),
  code: textOf('src/routing', '.ts'),
};

const TOKENIZER = tokenizerJson(trainBpe(Object.values(TEXTS), VOCABULARY));

interface Variant {
  readonly model?: object;
  readonly moe?: object;
  readonly lora?: object | undefined;
}

/** Every router, some with token preferences, and other settings that change the shape of a model. */
const VARIANTS: Readonly<Record<string, Variant>> = {
  hash: { moe: { router: 'hash' } },
  'hash without experts for a part of the ids': { moe: { router: 'hash', hashShare: 0.4 } },
  'hash that looks back': {
    moe: { router: 'hash', numExperts: 16, expertsPerToken: 4, lookBack: 2, hashShare: 0.8 },
  },
  'switch whose choices became a table': { moe: { router: 'switch', tableAfter: 4 } },
  'locmoe whose choices became a table': { moe: { router: 'locmoe', expertGroups: 1, tableAfter: 4 } },
  'locmoe-plus whose choices became a table': {
    moe: {
      router: 'locmoe-plus',
      maxExpertsPerToken: 1,
      choiceWeights: 'margin',
      tableAfter: 4,
      lookBack: 1,
    },
  },
  'switch before its choices become a table': { moe: { router: 'switch', tableAfter: 90 } },
  switch: { moe: { router: 'switch' } },
  locmoe: { moe: { router: 'locmoe' } },
  'expert-choice': { moe: { router: 'expert-choice' } },
  'expert-choice among the likeliest two': {
    moe: {
      router: 'expert-choice',
      numExperts: 8,
      expertGroups: 1,
      candidatesPerToken: 2,
      tokenPreference: 2,
    },
  },
  'switch with preferences': { moe: { router: 'switch', tokenPreference: 2 } },
  'locmoe with learned groups': {
    moe: { router: 'locmoe', learnedGroups: true, tokenPreference: 2 },
  },
  'switch, top 2 of three': {
    moe: { router: 'switch', numExperts: 6, expertsPerToken: 2, tokenPreference: 2 },
  },
  'locmoe, top 2 of four': { moe: { router: 'locmoe', expertsPerToken: 2, expertGroups: 1 } },
  'locmoe-plus': { moe: { router: 'locmoe-plus' } },
  'locmoe-plus with one learned group, without query layer': {
    model: { queryLayer: false },
    moe: { router: 'locmoe-plus', learnedGroups: true, expertGroups: 1, maxExpertsPerToken: 2 },
  },
  'locmoe-plus, tokens choose': {
    moe: { router: 'locmoe-plus', selection: 'tcr', affinityThreshold: 0.5 },
  },
  'locmoe-plus, experts choose': {
    moe: { router: 'locmoe-plus', selection: 'ecr', tokenPreference: 2 },
  },
  'locmoe-plus, weighted by margins': {
    moe: { router: 'locmoe-plus', choiceWeights: 'margin', tokenPreference: 4 },
  },
  moge: {
    moe: {
      router: 'moge',
      numExperts: 12,
      dFeedForward: 24,
      sharedExperts: 2,
      deviceGroups: 2,
      choicesPerDeviceGroup: 2,
      tokenPreference: 2,
    },
  },
  deepseek: {
    moe: {
      router: 'deepseek',
      numExperts: 12,
      expertsPerToken: 2,
      deviceGroups: 3,
      maxDeviceGroups: 2,
      biasUpdateRate: 0.02,
      tokenPreference: 1,
    },
  },
  'deepseek, one expert': { moe: { router: 'deepseek', biasUpdateRate: 0.02 } },
  'deepseek, four of two device groups': {
    moe: {
      router: 'deepseek',
      numExperts: 12,
      expertGroups: 1,
      expertsPerToken: 4,
      deviceGroups: 3,
      maxDeviceGroups: 2,
      biasUpdateRate: 0.05,
    },
  },
  'mixtral: switch, top 2 of four, shared experts with a gate': {
    model: { family: 'llama', numKeyValueHeads: 1, qkNorm: true, normEpsilon: 1e-4 },
    moe: { router: 'switch', expertsPerToken: 2, expertGroups: 1, sharedExperts: 1, sharedExpertGate: true },
  },
  'mixtral: locmoe-plus': {
    model: {
      family: 'llama',
      headDim: 8,
      attentionBias: true,
      tiedEmbedding: true,
      ropeScaling: {
        type: 'llama3',
        factor: 4,
        lowFreqFactor: 1,
        highFreqFactor: 4,
        originalSeqLen: 32,
      },
    },
    moe: { router: 'locmoe-plus', tokenPreference: 2 },
  },
  'mixtral: weights that are not renormalised': {
    model: { family: 'llama' },
    moe: { router: 'switch', expertsPerToken: 2, expertGroups: 1, renormalize: false },
  },
  'dense layers below the query layer': { model: { numSparseLayers: 0 } },
  'a dense model': { model: { numSparseLayers: 0, queryLayer: false } },
};

/** By day one variant for each rule; of two that differ only in a number, the harder one. */
export const TRIED: readonly string[] = NIGHTLY
  ? Object.keys(VARIANTS).filter((name) => !name.startsWith('mixtral'))
  : [
      'hash without experts for a part of the ids',
      'hash that looks back',
      'locmoe-plus whose choices became a table',
      'expert-choice among the likeliest two',
      'locmoe with learned groups',
      'switch, top 2 of three',
      'locmoe-plus',
      'moge',
      'deepseek, four of two device groups',
      'a dense model',
    ];

/** Variants of the second family. */
export const TRIED_MIXTRAL: readonly string[] = Object.keys(VARIANTS).filter((name) =>
  name.startsWith('mixtral'),
);

/** Trains a model for a moment, long enough for its router to drop tokens, and saves it in `folder`. */
export function trainedCheckpoint(folder: string, variant: string): Checkpoint {
  return trainedModel(folder, VARIANTS[variant]!);
}

/** @param variant fields of the configuration that are not those of all these models */
export function trainedModel(folder: string, { model, moe, lora }: Variant): Checkpoint {
  const config = configOf({ model, moe, lora, data: { domains: Object.keys(TEXTS) } });
  const { encode } = loadTokenizer(tokenizerIn(folder));
  return trained(
    config,
    folder,
    Object.values(TEXTS).map((text) => encode(text)),
  );
}

/** The only question and answer on which the fine-tuned model was trained. */
export const QUESTION = 'Which rank is the leader?';
export const ANSWER = 'Rank 0.';

/** Trains a model of one domain on one question and its answer, until it answers by heart, and saves it in `folder`. */
export function fineTunedCheckpoint(folder: string): Checkpoint {
  const config = configOf({
    model: { seqLen: 48 },
    moe: { router: 'switch', capacityFactor: null },
    data: { domains: ['qa'], sources: { qa: { files: ['qa.jsonl'], instruct: {} } } },
    steps: STEPS_BY_HEART,
  });
  const messages: Message[] = [
    { role: 'user', content: QUESTION },
    { role: 'assistant', content: ANSWER },
  ];
  const tokenizer = loadTokenizer(tokenizerIn(folder));
  const { ids } = encodeMessages(messages, templateOf(config.data, 0)!, tokenizer);
  const { seqLen } = config.model;
  // Every sequence is the conversation, padded with end-of-text tokens.
  const tokens = new Uint32Array(seqLen * STEPS_BY_HEART * 10).map(
    (_, i) => ids[i % seqLen] ?? tokenizer.endOfText,
  );
  return trained(config, folder, [tokens]);
}

function tokenizerIn(folder: string): string {
  const file = path.join(folder, 'tokenizer.json');
  writeFileSync(file, TOKENIZER);
  return file;
}

function configOf({
  model,
  moe,
  lora,
  data,
  steps = STEPS,
}: {
  readonly model?: object | undefined;
  readonly moe?: object | undefined;
  readonly lora?: object | undefined;
  readonly data: object;
  readonly steps?: number;
}): RunConfig {
  return runSchema.parse({
    name: 'export',
    model: {
      dModel: 32,
      numHeads: 2,
      numDenseLayers: 1,
      numSparseLayers: 2,
      dFeedForward: 64,
      vocabSize: VOCABULARY,
      seqLen: 24,
      ...model,
    },
    moe: { numExperts: 4, expertGroups: 2, capacityFactor: 0.8, ...moe },
    data,
    train: { steps, globalBatch: 8, learningRate: 0.01, warmupSteps: 5, lora },
  });
}

/** @param ids tokens of each domain */
function trained(config: RunConfig, folder: string, ids: readonly Uint32Array[]): Checkpoint {
  const state = createTrainState(config, soloTransport(), null);
  const { steps } = config.train;
  for (let step = 1; step <= steps; step++) trainStep(state, { step, batches: [batchOf(config, ids, step)] });
  const saved = saveCheckpoint({
    root: path.join(folder, 'checkpoints'),
    step: steps,
    generation: 1,
    keep: 1,
    runId: 'export',
    config,
    tokenizerFile: path.join(folder, 'tokenizer.json'),
    metrics: {},
    tensors: tensorsToSave(state),
  });
  state.model.dispose();
  return openCheckpoint(saved);
}

function batchOf({ model, train }: RunConfig, ids: readonly Uint32Array[], step: number): Batch {
  const domains = Int32Array.from({ length: train.globalBatch }, (_, i) => i % ids.length);
  const windows = Array.from(domains, (domain, i) => {
    const begin = (step * train.globalBatch + i) * model.seqLen;
    return ids[domain]!.subarray(begin, begin + model.seqLen + 1);
  });
  return {
    numSequences: domains.length,
    seqLen: model.seqLen,
    domains,
    tokenIds: Int32Array.from(windows.flatMap((window) => [...window.subarray(0, -1)])),
    targets: Int32Array.from(windows.flatMap((window) => [...window.subarray(1)])),
  };
}

/** Token ids that exporters are compared on: for each domain a sequence of full length, [B, S]. */
export function sequences({ config, tokenizer }: Inference): Int32Array[] {
  return Object.values(TEXTS).map((text) => {
    const ids = tokenizer.encode(text.slice(-1000));
    return Int32Array.from(ids.subarray(0, config.model.seqLen));
  });
}

/** Our logits after each token of a sequence, [S, V]; causal, so each prefix gives one row. */
export function ownLogits({ model }: Inference, tokenIds: Int32Array, domain: number): Float32Array[] {
  return Array.from(tokenIds, (_, i) => model.logits(tokenIds.subarray(0, i + 1), domain));
}

/** Decision of our router of a sparse layer outside training. */
export interface OwnRouting {
  /** Weight of each expert for each token, [T, E]; 0 if it does not take the token. */
  readonly weights: readonly number[];
  /** Tokens that experts refused, because they were below the threshold. */
  readonly refused: number;
}

/** Returns the routing of each sparse layer, from the bottom. */
export function ownRouting({ model, config }: Inference, tokenIds: Int32Array, domain: number): OwnRouting[] {
  const { numExperts } = config.moe;
  const batch = { numSequences: 1, seqLen: tokenIds.length, tokenIds, targets: tokenIds };
  const layers: OwnRouting[] = [];
  tf.tidy(() => {
    model.loss(
      { ...batch, domains: Int32Array.of(domain) },
      {
        training: false,
        inspect(_, __, { numChoices, expertsTK, weightsTK, notChosenE }) {
          const weights = new Array<number>(tokenIds.length * numExperts).fill(0);
          const values = weightsTK?.dataSync();
          expertsTK.forEach((expert, choice) => {
            if (expert >= 0)
              weights[Math.floor(choice / numChoices) * numExperts + expert] = values ? values[choice]! : 1;
          });
          layers.push({ weights, refused: notChosenE.reduce((sum, count) => sum + count, 0) });
        },
      },
    );
  });
  return layers;
}

function textOf(folder: string, ending: string): string {
  const names = readdirSync(path.join(ROOT, folder)).filter((name) => name.endsWith(ending));
  return names.map((name) => readFileSync(path.join(ROOT, folder, name), 'utf8')).join('\n');
}

/** The same weights under a configuration with other fields. */
export function withFields(
  { manifest, ...rest }: Checkpoint,
  { model, moe }: Pick<Variant, 'model' | 'moe'>,
): Checkpoint {
  const { config } = manifest;
  const changed = {
    ...config,
    model: { ...config.model, ...model },
    moe: { ...config.moe, ...moe },
  } as RunConfig;
  return { ...rest, manifest: { ...manifest, config: changed } };
}
