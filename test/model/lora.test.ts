import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type Checkpoint, openCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { saveCheckpoint } from '../../src/checkpoint/checkpointer.js';
import { mergedCheckpoint } from '../../src/checkpoint/merged.js';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import type { RunConfig } from '../../src/config/schema.js';
import { tokenizerJson, trainBpe } from '../../src/data/tokenizer/bpe-trainer.js';
import { openInference } from '../../src/inference/inference.js';
import { assertTrainable } from '../../src/model/frozen.js';
import { parameterCounts } from '../../src/model/parameter-counts.js';
import { rankMemory } from '../../src/model/rank-memory.js';
import { isOfPair } from '../../src/parameters/low-rank-pair.js';
import { createTrainState, loadModel, tensorsToSave } from '../../src/worker/state.js';
import { type TrainState, trainStep } from '../../src/worker/train-step.js';
import { batchesOf } from '../worker/step-batches.js';
import { expectClose, tinyConfig } from './support.js';

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-lora-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Overrides = NonNullable<Parameters<typeof tinyConfig>[0]>;
const LORA: RunConfig['train']['lora'] = { rank: 2, alpha: 6, on: ['attention', 'experts'] };
const MIXTRAL = { family: 'llama', numKeyValueHeads: 1, attentionBias: true, qkNorm: true } as const;

function configOf(train: Partial<RunConfig['train']> = {}, rest: Overrides = {}): RunConfig {
  const moe = { sharedExperts: 1, ...rest.moe };
  return tinyConfig({
    ...rest,
    moe,
    train: { learningRate: 0.05, schedule: 'constant', lora: LORA, ...train },
  });
}

function trained(config: RunConfig, checkpoint: Checkpoint | null, from: number, to: number): TrainState {
  const state = createTrainState(config, soloTransport(), checkpoint);
  for (let step = from; step <= to; step++)
    trainStep(state, { step, batches: batchesOf(step, config.train.microBatches) });
  return state;
}

function save(state: TrainState, name: string): Checkpoint {
  const tokenizerFile = path.join(folder, 'tokenizer.json');
  writeFileSync(tokenizerFile, tokenizerJson(trainBpe(['the cat sat on the mat '.repeat(20)], 257)));
  const place = { root: path.join(folder, name), step: 3, generation: 1, keep: 1, runId: 'r', tokenizerFile };
  const tensors = tensorsToSave(state);
  return openCheckpoint(saveCheckpoint({ ...place, config: state.config, metrics: {}, tensors }));
}

function valuesOf({ model }: TrainState): Map<string, Float32Array> {
  return new Map([...model.parameters.entries()].map(({ name, values }) => [name, values.slice()]));
}

describe.each([
  ['pangu-sigma', {}, 'dense', ['attn.qkv', 'attn.out', 'attn.q', 'attn.kv', 'w_in', 'w_out']],
  [
    'mixtral',
    { model: MIXTRAL },
    'touched',
    ['attn.q', 'attn.k', 'attn.v', 'attn.out', 'w_gate', 'w_in', 'w_out'],
  ],
] as const)('%s', (family, rest, expertUpdate, matrices) => {
  const config = configOf({ expertUpdate }, rest);
  const base = trained(configOf({ expertUpdate, lora: null }, rest), null, 1, 2);
  const origin = save(base, `${family} base`);
  const started = createTrainState(config, soloTransport(), null);
  loadModel(started.model, origin);
  const before = valuesOf(started);
  const TOKENS = Int32Array.of(1, 5, 9, 44, 200);
  const logitsOf = ({ model }: TrainState, domain = 0) => model.logits(TOKENS, domain);

  it('new pairs change nothing, and pairs alone move, have moments and are saved with them', () => {
    expect(logitsOf(started)).toEqual(logitsOf(base));
    for (const step of [1, 2, 3]) trainStep(started, { step, batches: batchesOf(step) });
    const moved = [...valuesOf(started)]
      .filter(([name, values]) => values.some((value, i) => value !== before.get(name)![i]))
      .map(([name]) => name);
    expect(moved.filter((name) => !isOfPair(name))).toEqual([]);
    const adapted = moved.filter((name) => name.endsWith('_lora_b')).map((name) => name.slice(0, -7));
    for (const matrix of matrices) expect(adapted.filter((name) => name.endsWith(matrix))).not.toEqual([]);
    expect(adapted.filter((name) => !/\.attn\.|\.experts\./.test(name))).toEqual([]);
    const { manifest } = save(started, `${family} tuned`);
    const moments = Object.keys(manifest.tensors).filter((name) => name.startsWith('adam.m.'));
    expect(moments.filter((name) => !isOfPair(name))).toEqual([]);
    expect(moments.length).toBe([...before.keys()].filter(isOfPair).length);
  });

  it('merged logits are those of the pairs beside the matrices, in every way to compute them', () => {
    const checkpoint = openCheckpoint(path.join(folder, `${family} tuned`, 'step-000003'));
    const inference = openInference(checkpoint);
    expect(inference.model.parameterSpecs.filter(({ name }) => isOfPair(name))).toEqual([]);
    for (const domain of [0, 1]) {
      const expected = logitsOf(started, domain);
      expectClose(inference.model.logits(TOKENS, domain), expected, 1e-5);
      const [first, ...others] = TOKENS;
      const { sequence } = inference.decoder.begin([{ tokenIds: [first!], domain, maxTokens: 9 }])[0]!;
      const logits = others.map((token) => inference.decoder.extend([sequence], [token])[0]!);
      expectClose(logits.at(-1)!, expected, 1e-5);
    }
    expect(
      Math.max(...logitsOf(started).map((each, i) => Math.abs(each - logitsOf(base)[i]!))),
    ).toBeGreaterThan(0.1);
    inference.model.dispose();
  });

  it('goes on to the bit, and another run begins with the merged weights and new pairs', () => {
    const checkpoint = openCheckpoint(path.join(folder, `${family} tuned`, 'step-000003'));
    const resumed = trained(config, checkpoint, 4, 5);
    for (const step of [4, 5]) trainStep(started, { step, batches: batchesOf(step) });
    expect(valuesOf(resumed)).toEqual(valuesOf(started));
    const again = createTrainState(config, soloTransport(), null);
    loadModel(again.model, mergedCheckpoint(checkpoint));
    const tuned = openInference(checkpoint);
    expect(logitsOf(again)).toEqual(tuned.model.logits(TOKENS, 0));
  });
});

it('only pairs are counted as trained, and priced with gradients and moments', () => {
  const config = configOf();
  // Pairs of rank 2: two layers' [8, 24] and [8, 8], the query layer's [8, 8], [8, 16], [8, 8]; 4 experts of [8, 16] and [16, 8].
  const counts = parameterCounts(config);
  const trained = { shared: 2 * (2 * (32 + 16) + 16 + 24 + 16), expertsOfRank: 4 * 2 * (24 + 24) };
  expect(counts.trained).toEqual(trained);
  const { gradients, moments } = rankMemory(config, counts, 0, 0);
  expect([gradients, moments]).toEqual(
    [4, 8].map((bytes) => bytes * (trained.shared + trained.expertsOfRank)),
  );
  const all = parameterCounts(configOf({ lora: null }));
  expect(all.trained).toEqual({ shared: all.shared, expertsOfRank: all.expertsOfRank });
});

it.each([
  [
    { ...LORA, rank: 9 },
    {},
    'train.lora.rank: 9 exceeds the smaller dimension of layers.0.attn.qkv, which is 8 x 24; at most 8',
  ],
  [
    { ...LORA, rank: 5 },
    MIXTRAL,
    'train.lora.rank: 5 exceeds the smaller dimension of layers.0.attn.k, which is 8 x 4; at most 4',
  ],
  [
    { ...LORA, on: ['experts' as const] },
    { numSparseLayers: 0 },
    'train.lora.on: experts: a dense model has no experts',
  ],
])('refuses %j', (lora, model, message) => {
  expect(() => assertTrainable(configOf({ lora }, { model }))).toThrow(
    expect.objectContaining({ code: 'BAD_CONFIG', message }),
  );
});
