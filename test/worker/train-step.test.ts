import { describe, expect, it } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import type { RoutingInspector } from '../../src/model/moe-layer.js';
import { ROUTER_NAMES } from '../../src/routing/index.js';
import { createTrainState } from '../../src/worker/state.js';
import { trainStep } from '../../src/worker/train-step.js';
import { expectClose, tinyConfig } from '../model/support.js';
import { batchesOf, packedBatchesOf } from './step-batches.js';

/** Three steps with every batch in `parts` micro-batches. */
function train(
  parts: number,
  moe: Parameters<typeof tinyConfig>[0] = {},
  batches = batchesOf,
  inspectorOf?: () => RoutingInspector,
) {
  const state = createTrainState(tinyConfig(moe), soloTransport(), null);
  const reports = [1, 2, 3].map(
    (step) => trainStep(state, { step, batches: batches(step, parts), inspectorOf }).report,
  );
  const { shared, expert } = state.model.parameters;
  const gradients = [...shared.gradients, ...expert.gradients];
  const routerState = [...state.model.routerState.values()].map((values) => [...values]);
  state.model.dispose();
  return { reports, gradients, routerState };
}

describe.each(ROUTER_NAMES)('micro-batches, router %s', (router) => {
  // Auxiliary losses are computed for each micro-batch; without them and without drops the objective is that of the
  // whole batch.
  const free = {
    router,
    capacityFactor: null,
    auxiliaryLossWeight: 0,
    localityLossWeight: 0,
  } as const;

  it.each([
    [4, 'text', batchesOf],
    [2, 'packed samples', packedBatchesOf],
  ] as const)('%i give the gradient of the whole batch of %s', (parts, _, batches) => {
    const [whole, parted] = [train(1, { moe: free }, batches), train(parts, { moe: free }, batches)];
    const scale = Math.max(...whole.gradients.map(Math.abs));
    expectClose(
      parted.gradients.map((value) => value / scale),
      whole.gradients.map((value) => value / scale),
      1e-4,
    );
    parted.reports.forEach((report, i) => {
      const expected = whole.reports[i];
      expect(report.loss / expected.loss).toBeCloseTo(1, 5);
      expect(report.gradientNorm / expected.gradientNorm).toBeCloseTo(1, 4);
      expect(report.tokens).toBe(expected.tokens);
      expect(report.measures.answerTokens).toBe(batches === batchesOf ? undefined : 12);
      const [{ routed, kept, gateCosine }, inOne] = [report, expected].map(
        ({ layers }) => layers[0].measures,
      );
      expect([routed, kept]).toEqual([inOne.routed, inOne.kept]);
      expect(gateCosine?.values[1]).toBe(inOne.gateCosine?.values[1]);
    });
  });

  it('are looked at without a change of a bit; the first choice has the best score', () => {
    const limited = { router, capacityFactor: 1, tokenPreference: 2 } as const;
    let choices = 0;
    const inspect: RoutingInspector = (_, xTD, { scores, chosenTK, numChoices, keptE }) => {
      expect(scores === undefined).toBe(router === 'hash');
      if (scores === undefined) return;
      const E = keptE.length;
      for (let t = 0; t < xTD.shape[0]; t++, choices++) {
        const scoreOf = (e: number) =>
          scores.gateTE[t * E + e] + (scores.biasE?.[e] ?? 0) + scores.preferenceTE![t * E + e];
        const first = chosenTK[t * numChoices];
        // The group of a domain, or of a device in it, has two consecutive experts here.
        const rival = first % 2 === 0 ? first + 1 : first - 1;
        expect(scoreOf(first)).toBeGreaterThanOrEqual(scoreOf(rival));
      }
    };
    const looked = train(1, { moe: limited }, batchesOf, () => inspect);
    expect(looked.gradients).toEqual(train(1, { moe: limited }).gradients);
    expect(choices > 0).toBe(router !== 'hash');
  });

  it('are one step each for the state of the router, and their counts add up', () => {
    const limited = { router, capacityFactor: 1, capacityInterval: 2, capacityBatches: 2 } as const;
    const [whole, parted] = [train(1, { moe: limited }), train(2, { moe: limited })];
    for (const { layers } of parted.reports) {
      const { routed, kept, overCapacity, notChosen, capacity } = layers[0].measures;
      routed.counts.forEach((count, e) => {
        expect(count).toBe(kept.counts[e] + overCapacity.counts[e] + notChosen.counts[e]);
        expect(kept.counts[e]).toBeLessThanOrEqual(capacity.counts[e]);
      });
    }
    // The router state counts steps; for `locmoe` observed steps, for `expert-choice` the steps in the first threshold.
    const count = (run: typeof whole) => run.routerState[router === 'expert-choice' ? 1 : 0]?.[0];
    expect(count(parted)).toBe(count(whole));
  });
});
