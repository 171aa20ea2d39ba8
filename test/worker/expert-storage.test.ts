import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Checkpoint } from '../../src/checkpoint/checkpoint.js';
import type { RankTensors, SavedTensor } from '../../src/checkpoint/rank-tensors.js';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import type { RunConfig } from '../../src/config/schema.js';
import type { Batch } from '../../src/data/batch.js';
import { armFailpoint } from '../../src/failpoint.js';
import { ROUTER_NAMES, type RouterName } from '../../src/routing/index.js';
import { ExpertForesight } from '../../src/worker/expert-foresight.js';
import { SkippedSteps } from '../../src/worker/skipped-steps.js';
import { createTrainState, tensorsToSave } from '../../src/worker/state.js';
import { type TrainState, trainStep } from '../../src/worker/train-step.js';
import { tinyConfig } from '../model/support.js';
import { NIGHTLY } from '../nightly.js';
import { savedState } from './saved-state.js';
import { batchesOf } from './step-batches.js';

const NUM_EXPERTS = 16;
/** Values, gradients and moments of an expert of 16 x 4. */
const EXPERT_BYTES = 16 * 2 * 16 * 4;
/** 2 layers have 16 experts; there is room for those of a domain in both layers, and two more. */
const SLOTS = 18;

type Kind = RunConfig['moe']['expertStorage']['kind'];

function configOf(
  router: RouterName,
  kind: Kind,
  slots = SLOTS,
  train: Partial<RunConfig['train']> = {},
): RunConfig {
  const expertStorage = { kind, budgetMB: (slots * EXPERT_BYTES) / 1e6 };
  return tinyConfig({
    // Groups of coordinates, one for each expert, need as many of them.
    model: { dModel: 16, numSparseLayers: 2 },
    moe: {
      router,
      ...(router === 'hash' && { expertsPerToken: 2, lookBack: 1 }),
      numExperts: NUM_EXPERTS,
      dFeedForward: 4,
      sharedExperts: 1,
      expertGroups: 2,
      capacityFactor: 2,
      expertStorage,
    },
    train: { expertUpdate: 'touched', learningRate: 0.01, steps: 20, ...train },
  });
}

function newFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-expert-storage-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function newState(config: RunConfig, checkpoint: Checkpoint | null = null): TrainState {
  const state = createTrainState(config, soloTransport(), checkpoint, newFolder());
  onTestFinished(() => state.model.dispose());
  return state;
}

/** Batches of one domain in turn, so that half of the experts have no tokens. */
function ofOneDomain(step: number, parts = 1): Batch[] {
  return batchesOf(step, parts).map((batch) => ({ ...batch, domains: batch.domains.map(() => step % 2) }));
}

function save(state: TrainState, step: number, tensors?: RankTensors): Checkpoint {
  const checkpoint = savedState(state, newFolder(), step, tensors);
  state.expertFile?.release();
  return checkpoint;
}

/** A copy of what is in memory, as a worker makes before it saves. */
function copyOf(tensors: RankTensors): RankTensors {
  const copies = Object.entries(tensors).map(([part, list]: [string, readonly SavedTensor[]]) => [
    part,
    list.map(({ data, ...rest }) => ({ ...rest, data: data instanceof Float32Array ? data.slice() : data })),
  ]);
  return Object.fromEntries(copies) as RankTensors;
}

function losses({ model }: TrainState, batches: readonly Batch[]): number[] {
  return batches.map((batch) => model.loss(batch, { training: false }).crossEntropy.dataSync()[0]);
}

// Warm-up: TensorFlow compiles for new shapes, and the first pass is not bit-identical to later ones.
beforeAll(() => {
  const state = createTrainState(configOf('hash', 'memory'), soloTransport(), null);
  for (const parts of [1, 2]) trainStep(state, { step: parts, batches: ofOneDomain(parts, parts) });
  state.model.dispose();
});

/** By day a router without state and the router with the most. */
const ROUTERS: readonly RouterName[] = NIGHTLY ? ROUTER_NAMES : ['hash', 'locmoe-plus'];

describe.each(ROUTERS)('experts in a file or in memory, router %s', (router) => {
  it('give the same bits: steps, micro-batches, skipped steps, validation, checkpoints, resumed runs', () => {
    const [inMemory, inFile] = [newState(configOf(router, 'memory')), newState(configOf(router, 'file'))];
    const both = [inMemory, inFile];
    const run = (step: number, parts = 1) => {
      const [a, b] = both.map((state) => trainStep(state, { step, batches: ofOneDomain(step, parts) }));
      expect(b.report.skipped).toBe(a.report.skipped);
      expect([b.report.loss, b.found.norm]).toEqual([a.report.loss, a.found.norm]);
    };
    for (const step of [1, 2, 3]) run(step);
    run(4, 2);
    for (const each of both) {
      armFailpoint('step.gradients:nan');
      expect(trainStep(each, { step: 5, batches: ofOneDomain(5) }).report.skipped).toBe(true);
    }
    // All domains occur, and so there are more experts than fit in memory.
    expect(losses(inFile, batchesOf(5))).toEqual(losses(inMemory, batchesOf(5)));
    run(6);
    const { reads, bytesOut } = inFile.model.parameters.slots!.statistics;
    expect(reads).toBeGreaterThan(2 * NUM_EXPERTS);
    expect(bytesOut).toBeGreaterThan(0);

    // The saved state is that of the copy, even if training goes on before it is read.
    const saved = copyOf(tensorsToSave(inFile));
    const ofMemory = save(inMemory, 6);
    for (const step of [7, 8, 9]) run(step);
    const ofFile = save(inFile, 6, saved);
    expect(ofFile.manifest.files).toEqual(ofMemory.manifest.files);

    const resumed = [
      newState(configOf(router, 'file'), ofMemory),
      newState(configOf(router, 'memory'), ofFile),
    ];
    for (const step of [7, 8, 9])
      for (const each of resumed) trainStep(each, { step, batches: ofOneDomain(step) });
    for (const each of [...both, ...resumed])
      expect(save(each, 9).manifest.files).toEqual(save(inMemory, 9).manifest.files);
  });
});

it('a step that needs more experts than there is room for ends with what is needed', () => {
  const state = newState(configOf('switch', 'file', 3));
  expect(() => trainStep(state, { step: 1, batches: batchesOf(1) })).toThrow(
    expect.objectContaining({
      code: 'BAD_CONFIG',
      message: expect.stringMatching(
        /^moe\.expertStorage\.budgetMB has room for 3 \(0\.1 MB\) of this rank's experts, and a step needs at least \d+ /,
      ),
    }),
  );
});

describe('with the hash router', () => {
  const loader = {
    globalBatchForStep: (batch: number) => ofOneDomain(1 + (batch >> 1), 2)[batch & 1],
  };

  it('the experts of a step are known before it, to the last', () => {
    const state = newState(configOf('hash', 'file'));
    const foresight = ExpertForesight.of(state.model, loader, 2)!;
    const { statistics } = state.model.parameters.slots!;
    for (const step of [1, 2, 3, 4, 5]) {
      foresight.beforeStep(step);
      const { reads, touched } = statistics;
      const expected = new Set(
        [0, 1].flatMap((i) => state.model.foresee(loader.globalBatchForStep(2 * (step - 1) + i))!),
      );
      trainStep(state, { step, batches: ofOneDomain(step, 2) });
      expect(statistics.reads).toBe(reads);
      expect(statistics.touched).toBe(touched + expected.size);
    }
  });

  it('a budget that is too small is found before the first step, with what exactly it needs', () => {
    const state = newState(configOf('hash', 'file', 3));
    const needed = new Set([0, 1].flatMap((i) => state.model.foresee(loader.globalBatchForStep(i))!));
    expect(() => ExpertForesight.of(state.model, loader, 2)!.beforeStep(1)).toThrow(
      new RegExp(`a step needs at least ${needed.size} `),
    );
  });

  it('is available only for experts in a file, and not with other routers', () => {
    expect(ExpertForesight.of(newState(configOf('hash', 'memory')).model, loader, 2)).toBeNull();
    expect(ExpertForesight.of(newState(configOf('switch', 'file')).model, loader, 2)).toBeNull();
  });
});

it('a step that is skipped, or whose experts are frozen, writes nothing', () => {
  const freeze = ['layers.1.experts', 'layers.2.experts'];
  const frozen = newState(configOf('hash', 'file', SLOTS, { freeze }));
  const trained = newState(configOf('hash', 'file'));
  const written = ({ model }: TrainState, run: () => void): number => {
    const slots = model.parameters.slots!;
    slots.flush();
    const { bytesOut } = slots.statistics;
    run();
    slots.flush();
    return slots.statistics.bytesOut - bytesOut;
  };
  // Each step evicts the experts of the step before.
  const steps = (state: TrainState) => () =>
    [1, 2, 3].map((step) => trainStep(state, { step, batches: ofOneDomain(step) }));
  expect(written(frozen, steps(frozen))).toBe(0);
  expect(written(trained, steps(trained))).toBeGreaterThan(0);
  armFailpoint('step.gradients:nan');
  expect(written(trained, () => trainStep(trained, { step: 4, batches: ofOneDomain(4) }))).toBe(0);
});

it('what is not finite is found among experts in a file', () => {
  const state = newState(configOf('hash', 'file'));
  state.model.parameters.values('layers.2.experts.13.w_out').fill(Number.NaN, 5, 6);
  state.model.parameters.pushValues();
  const skipped = new SkippedSteps(state, { info() {}, warn() {} });
  const run = () => {
    for (let step = 1; step < 10; step++) {
      // Experts 8 to 15 are those of the second domain.
      const batches = batchesOf(step).map((batch) => ({ ...batch, domains: batch.domains.map(() => 1) }));
      skipped.add(trainStep(state, { step, batches }), { batches, quote: () => '' });
    }
  };
  expect(run).toThrow(
    /^steps 1 to 3 .* parameter layers\.2\.experts\.13\.w_out \(layer 2, expert 13\), which holds NaN/,
  );
});
