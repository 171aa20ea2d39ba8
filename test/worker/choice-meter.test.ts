import { expect, it } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import type { RunConfig } from '../../src/config/schema.js';
import { ROUTER_NAMES } from '../../src/routing/index.js';
import type { RoutingDecision } from '../../src/routing/router.js';
import { ChoiceMeter } from '../../src/worker/choice-meter.js';
import { createTrainState } from '../../src/worker/state.js';
import { trainStep } from '../../src/worker/train-step.js';
import { tinyConfig } from '../model/support.js';
import { batchesOf } from './step-batches.js';

/** Trains some steps on recurring batches; returns the measures of each step and all trained parameters. */
function train(moe: Partial<RunConfig['moe']>, isMeasured = true, microBatches = 1) {
  const config = tinyConfig({ moe, train: { steps: 4, learningRate: 0.02 } });
  const state = createTrainState(config, soloTransport(), null);
  const choices = isMeasured ? { choices: new ChoiceMeter(config) } : {};
  const measures = [1, 2, 3, 4].map(
    (step) =>
      trainStep(state, { step, batches: batchesOf(step % 2, microBatches), ...choices }).report.measures,
  );
  const { shared, expert } = state.model.parameters;
  const values = [shared.values, expert.values].map((each) => Buffer.from(each.buffer).toString('base64'));
  state.model.dispose();
  return { measures, values };
}

it.each(ROUTER_NAMES)('measuring router %s does not change a bit', (router) => {
  expect(train({ router }, true, 2).values).toEqual(train({ router }, false, 2).values);
});

it('finds that hash routing is decided by id and domain, and has no gate', () => {
  const [, , , last] = train({ router: 'hash' }).measures;
  expect(last.idShare).toBe(1);
  expect(Object.keys(last).sort()).toEqual(['idShare', 'loadImbalance', 'loadP10', 'loadP50', 'loadP90']);
});

it('finds that a strong preference of the id leaves the gate idle, and that without it the gate decides', () => {
  const [, , , free] = train({ router: 'switch' }).measures;
  expect(free.gateShare).toBe(1);
  const [, , , bound] = train({ router: 'switch', tokenPreference: 1e4 }).measures;
  expect(bound.idShare).toBe(1);
  expect(bound.gateShare).toBeLessThan(0.6);
  expect(bound.margin).toBeGreaterThan(100 * free.margin);
  expect(free.gateEntropy).toBeGreaterThan(0);
  expect(free.gateEntropy).toBeLessThanOrEqual(Math.log(4));
});

/** The measures of given choices for the tokens of one batch. */
function measuresOf(tokenIds: number[], chosen: number[], more: Partial<RoutingDecision> = {}) {
  const config = tinyConfig({ moe: { numExperts: 4 } });
  const meter = new ChoiceMeter(config);
  const numSequences = 2;
  const batch = {
    numSequences,
    seqLen: tokenIds.length / numSequences,
    tokenIds: Int32Array.from(tokenIds),
    targets: Int32Array.from(tokenIds),
    domains: Int32Array.of(0, 1),
  };
  const decision = {
    numChoices: chosen.length / tokenIds.length,
    chosenTK: Int32Array.from(chosen),
    keptOfRank: [Int32Array.of(1, 0, 2, 0), Int32Array.of(0, 1, 4, 0)],
    keptE: new Int32Array(4),
    ...more,
  };
  meter.inspectorOf(batch)(1, undefined as never, decision as unknown as RoutingDecision);
  return meter.take();
}

it('counts a choice that the last token with the same id and domain had too', () => {
  // Id 7 comes again twice in the first domain, with the same and another expert; in the second domain it is new.
  expect(measuresOf([7, 7, 5, 7, 7, 7, 9, 8], [1, 1, 2, 3, 2, 2, 0, 0]).idShare).toBe(2 / 3);
  // Two choices a token: 1 and 2, then 2 and 3. Empty places do not count.
  expect(measuresOf([7, 7, 4, 3], [1, 2, 2, 3, 0, -1, 0, -1]).idShare).toBe(1 / 2);
  expect(measuresOf([7, 6, 5, 4], [1, 1, 1, 1])).not.toHaveProperty('idShare');
});

it('has the load of all ranks, over its mean', () => {
  expect(measuresOf([7, 6, 5, 4], [1, 1, 1, 1])).toEqual({
    loadImbalance: 3,
    loadP10: 0,
    loadP50: 0.5,
    loadP90: 0.5,
  });
});

it('measures the gate alone beside the scores that decide', () => {
  const gate = [3, 1, 0, 0];
  const scores = {
    gateTE: Float32Array.from([...gate, ...gate]),
    biasE: Float32Array.of(0, 4, 0, 0),
    preferenceTE: null,
  };
  const measures = measuresOf([7, 6], [1, 0], { scores });
  expect(measures.gateShare).toBe(0.5);
  expect(measures.margin).toBe(2);
  const sum = Math.exp(3) + Math.exp(1) + 2;
  const entropy = -gate.reduce(
    (total, score) => total + (Math.exp(score) / sum) * (score - Math.log(sum)),
    0,
  );
  expect(measures.gateEntropy).toBeCloseTo(entropy, 5);
  expect(measures.routerZ).toBeCloseTo(Math.log(sum) ** 2, 5);
});
