import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import type { Batch } from '../../src/data/batch.js';
import { armFailpoint } from '../../src/failpoint.js';
import { createTrainState } from '../../src/worker/state.js';
import { type TrainState, trainStep } from '../../src/worker/train-step.js';
import { randomIntegers, tinyConfig } from '../model/support.js';
import { savedState } from './saved-state.js';
import { batchesOf } from './step-batches.js';

const LAYER = 'layers.1.experts';

function newState(
  expertUpdate: 'dense' | 'touched',
  checkpoint: Parameters<typeof createTrainState>[2] = null,
): TrainState {
  const config = tinyConfig({
    moe: { router: 'hash' },
    train: { expertUpdate, learningRate: 0.01, schedule: 'linear', steps: 100 },
  });
  const state = createTrainState(config, soloTransport(), checkpoint);
  onTestFinished(() => state.model.dispose());
  return state;
}

/** Sequences whose tokens the hash router all sends to one expert. */
function batchFor(expert: number, { model }: TrainState): Batch {
  const table = model.routerState.get('layers.1.router.table')!;
  const tokens = [...table.keys()].filter((token) => table[token] % 4 === expert);
  const tokenIds = randomIntegers(`tokens of ${expert}`, 24, tokens.length).map((i) => tokens[i]);
  const targets = randomIntegers(`targets of ${expert}`, 24, 257);
  return { numSequences: 4, seqLen: 6, tokenIds, targets, domains: Int32Array.of(0, 1, 0, 1) };
}

/** Values and moments of an expert. */
function contentsOf({ model }: TrainState, expert: number): Float32Array[] {
  const { ranges, values, m, v } = model.parameters.expert;
  return ranges
    .filter(({ name }) => name.startsWith(`${LAYER}.${expert}.`))
    .flatMap(({ begin, end }) => [values, m, v].map((array) => array.slice(begin, end)));
}

function updatesOf({ model }: TrainState): number[] {
  return [...model.expertUpdates.get(LAYER)!];
}

function save(state: TrainState, step: number) {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-expert-update-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return savedState(state, folder, step);
}

it('an expert without tokens stays as it is, and the bias correction of its moments counts its own updates', () => {
  const state = newState('touched');
  const initial = [0, 1, 2, 3].map((expert) => contentsOf(state, expert));
  for (const step of [1, 2, 3]) trainStep(state, { step, batches: [batchFor(0, state)] });
  const ofFirst = contentsOf(state, 0);
  expect(ofFirst).not.toEqual(initial[0]);
  const { learningRate } = trainStep(state, { step: 4, batches: [batchFor(3, state)] }).report;
  expect(contentsOf(state, 0)).toEqual(ofFirst);
  expect([1, 2].map((expert) => contentsOf(state, expert))).toEqual([initial[1], initial[2]]);
  expect(updatesOf(state)).toEqual([3, 0, 0, 1]);
  // After a single update mHat / sqrt(vHat) is 1 or -1.
  const [values, m] = contentsOf(state, 3);
  values.forEach((value, i) => {
    const decayed = initial[3][0][i] * (1 - learningRate * state.config.train.weightDecay);
    expect(value).toBeCloseTo(decayed - learningRate * Math.sign(m[i]), 6);
  });
});

it('an expert with tokens in several micro-batches is updated once, and not in a step that is skipped', () => {
  const state = newState('touched');
  const batches = [batchFor(2, state), batchFor(1, state), batchFor(2, state)];
  trainStep(state, { step: 1, batches });
  expect(updatesOf(state)).toEqual([0, 1, 1, 0]);
  const before = [1, 2].map((expert) => contentsOf(state, expert));
  armFailpoint('step.gradients:nan');
  expect(trainStep(state, { step: 2, batches }).report.skipped).toBe(true);
  expect([1, 2].map((expert) => contentsOf(state, expert))).toEqual(before);
  expect(updatesOf(state)).toEqual([0, 1, 1, 0]);
  trainStep(state, { step: 3, batches: [batchFor(3, state)] });
  expect(updatesOf(state)).toEqual([0, 1, 1, 1]);
});

it('has the gradient norm of dense', () => {
  const norms = (['dense', 'touched'] as const).map((expertUpdate) => {
    const state = newState(expertUpdate);
    return [batchesOf(1), [batchFor(1, state)]].map(
      (batches) => trainStep(state, { step: 1, batches }).report.gradientNorm,
    );
  });
  norms[1].forEach((norm, i) => void expect(norm / norms[0][i]).toBeCloseTo(1, 6));
});

it('a checkpoint goes on to the bit with the counts of updates in it; a dense one has moved all in every step', () => {
  const [state, dense] = [newState('touched'), newState('dense')];
  for (const step of [1, 2])
    for (const each of [state, dense]) trainStep(each, { step, batches: [batchFor(2, each)] });
  const resumed = newState('touched', save(state, 2));
  expect(updatesOf(resumed)).toEqual([0, 0, 2, 0]);
  for (const each of [state, resumed]) trainStep(each, { step: 3, batches: batchesOf(3) });
  for (const expert of [0, 1, 2, 3]) expect(contentsOf(resumed, expert)).toEqual(contentsOf(state, expert));

  const ofDense = save(dense, 2);
  expect(ofDense.has('adam.updates.layers.1.experts')).toBe(false);
  expect(updatesOf(newState('touched', ofDense))).toEqual([2, 2, 2, 2]);
  // The same holds in the opposite direction.
  expect(contentsOf(newState('dense', save(state, 3)), 2)).toEqual(contentsOf(state, 2));
});
