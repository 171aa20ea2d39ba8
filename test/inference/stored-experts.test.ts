import { closeSync, mkdtempSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { StoredCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { saveCheckpoint } from '../../src/checkpoint/checkpointer.js';
import { openStored } from '../../src/checkpoint/open-stored.js';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { tokenizerJson, trainBpe } from '../../src/data/tokenizer/bpe-trainer.js';
import { generateText } from '../../src/inference/generate.js';
import { evaluate, openInference } from '../../src/inference/inference.js';
import { createTrainState, tensorsToSave } from '../../src/worker/state.js';
import { trainStep } from '../../src/worker/train-step.js';
import { tinyConfig } from '../model/support.js';
import { batchesOf, validationBatchOf } from '../worker/step-batches.js';

/** Values, gradients and moments of an expert of 8 x 8. */
const EXPERT_MB = (16 * 2 * 8 * 8) / 1e6;
const OPTIONS = {
  maxTokens: 12,
  stop: [],
  seed: 1,
  temperature: 1,
  topK: null,
  topP: 1,
  repetitionPenalty: 1,
};

/** A checkpoint of a run that kept 9 of its 16 experts in memory. */
function trained(): StoredCheckpoint {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-stored-experts-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const tokenizerFile = path.join(folder, 'tokenizer.json');
  writeFileSync(tokenizerFile, tokenizerJson(trainBpe(['the cat sat on the mat '.repeat(20)], 257)));
  const config = tinyConfig({
    model: { numSparseLayers: 2 },
    moe: {
      router: 'hash',
      numExperts: 8,
      dFeedForward: 8,
      sharedExperts: 1,
      expertGroups: 2,
      expertStorage: { kind: 'file', budgetMB: 9 * EXPERT_MB },
    },
    train: { expertUpdate: 'touched', learningRate: 0.01, steps: 2 },
  });
  const state = createTrainState(config, soloTransport(), null, folder);
  for (const step of [1, 2])
    trainStep(state, {
      step,
      batches: [{ ...batchesOf(step)[0], domains: new Int32Array(4).fill(step % 2) }],
    });
  const place = { root: path.join(folder, 'checkpoints'), step: 2, generation: 1, keep: 1, runId: 'run' };
  const saved = saveCheckpoint({
    ...place,
    config,
    tokenizerFile,
    metrics: {},
    tensors: tensorsToSave(state),
  });
  state.model.dispose();
  return openStored(saved);
}

/** The same checkpoint with room for `numExperts` experts in memory; null means all of them. */
function withRoomFor(
  numExperts: number | null,
  { manifest, ...checkpoint }: StoredCheckpoint,
): StoredCheckpoint {
  const { config } = manifest;
  const expertStorage =
    numExperts === null
      ? { ...config.moe.expertStorage, kind: 'memory' as const }
      : { ...config.moe.expertStorage, budgetMB: numExperts * EXPERT_MB };
  return {
    ...checkpoint,
    manifest: { ...manifest, config: { ...config, moe: { ...config.moe, expertStorage } } },
  };
}

it.each([1, 3, 20])(
  'with room for %i experts, of 16, a checkpoint gives the bits that it gives in memory, also when it is deleted',
  (numExperts) => {
    const checkpoint = trained();
    const opened = [null, numExperts].map((room) => openInference(withRoomFor(room, checkpoint)));
    const { folder } = checkpoint;
    renameSync(folder, `${folder}-gone`);
    const results = opened.map((inference) => ({
      texts: [0, 1].map((domain) => generateText(inference, { ...OPTIONS, prompt: 'the cat', domain })),
      losses: evaluate(inference, [validationBatchOf(batchesOf(3)[0]!)]),
    }));
    expect(results[1]).toEqual(results[0]);
    const { reads } = opened[1].model.parameters.slots!.statistics;
    if (numExperts === 20) expect(reads).toBeLessThanOrEqual(16);
    else expect(reads).toBeGreaterThan(16);
    for (const { model } of opened) model.dispose();
  },
);

it('says which expert of a checkpoint is of no use when it is needed', () => {
  const checkpoint = trained();
  const { path: file, begin } = checkpoint.locate('layers.1.experts.2.w_out');
  const inference = openInference(checkpoint);
  onTestFinished(() => inference.model.dispose());
  // The file is changed after its hash was checked.
  const fd = openSync(file, 'r+');
  writeSync(fd, Float32Array.of(Number.NaN), 0, 4, begin);
  closeSync(fd);
  expect(() => inference.model.parameters.get('layers.1.experts.2.w_in')).toThrow(
    /checkpoint .*: layers\.1\.experts\.2 holds NaN at element 64$/,
  );
});
