import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { saveCheckpoint } from '../../src/checkpoint/checkpointer.js';
import { momentName, type NamedTensor, type RankTensors } from '../../src/checkpoint/rank-tensors.js';
import { runSchema } from '../../src/config/schema.js';

export const NUM_EXPERTS = 4;
export const TOKENIZER = '{"version":"1.0"}\n';

export const config = runSchema.parse({
  name: 'checkpoint-test',
  model: {
    dModel: 8,
    numHeads: 2,
    numDenseLayers: 1,
    numSparseLayers: 1,
    dFeedForward: 16,
    vocabSize: 300,
    seqLen: 4,
  },
  moe: { numExperts: NUM_EXPERTS },
  data: { domains: ['en'] },
  train: { steps: 10, globalBatch: 2, learningRate: 1e-3 },
});

/** The value of every element of a tensor after `step` updates: a formula that any reader can check. */
export function expectedValue(name: string, step: number): number {
  return step + [...name].reduce((sum, char) => sum + char.charCodeAt(0), 0) / 1024;
}

export const sharedNames = ['embedding.token', 'layers.0.attention.w_q'];
export const expertNames = Array.from({ length: NUM_EXPERTS }, (_, e) => `layers.1.experts.${e}.w_in`);
export const stateNames = ['layers.1.router.threshold'];
export const allNames = [...sharedNames, ...expertNames]
  .flatMap((name) => [name, momentName('m', name), momentName('v', name)])
  .concat(stateNames);

export function tensorsOf(
  rank: number,
  worldSize: number,
  step: number,
): Readonly<Record<keyof RankTensors, readonly NamedTensor[]>> {
  const make = (name: string): NamedTensor => ({
    name,
    shape: [8, 16],
    data: new Float32Array(128).fill(expectedValue(name, step)),
  });
  const moments = (names: string[]) =>
    names.flatMap((name) => [make(momentName('m', name)), make(momentName('v', name))]);
  const shared = rank === 0 ? sharedNames : [];
  const experts = expertNames.filter((_, e) => Math.floor((e * worldSize) / NUM_EXPERTS) === rank);
  return {
    shared: shared.map(make),
    optimizerShared: moments(shared),
    state: rank === 0 ? stateNames.map(make) : [],
    experts: experts.map(make),
    optimizerExperts: moments(experts),
  };
}

export function saveOptions(
  root: string,
  step: number,
  tensors: RankTensors,
): Parameters<typeof saveCheckpoint>[0] {
  const tokenizerFile = join(dirname(root), 'tokenizer.json');
  if (!existsSync(tokenizerFile)) {
    mkdirSync(dirname(root), { recursive: true });
    writeFileSync(tokenizerFile, TOKENIZER);
  }
  return {
    root,
    step,
    generation: 1,
    keep: 2,
    runId: 'run-1',
    config,
    tokenizerFile,
    metrics: { trainLoss: 5.5 },
    tensors,
  };
}
