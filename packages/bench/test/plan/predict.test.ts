import { describe, expect, it } from 'vitest';
import { describePlan } from '../../src/plan/describe.js';
import { parseLink } from '../../src/plan/link.js';
import { type PlanInput, predict, TIME_PARTS } from '../../src/plan/predict.js';
import { UNIFORM } from '../../src/plan/routing-model.js';
import { configOf, inputOf, PROFILE } from './support.js';

const stepMs = (sets: readonly string[], nodes = 1, workers = 1, changes: Partial<PlanInput> = {}) =>
  predict(inputOf(configOf(sets, nodes, workers), changes)).stepMs;

function expectRising(values: readonly number[]): void {
  values.slice(1).forEach((value, i) => {
    expect(value, values.join(', ')).toBeGreaterThan(values[i]);
  });
}

describe('predict', () => {
  it('works one worker out as a hand does', () => {
    const plan = predict(inputOf(configOf()));
    const { flopsPerS, touchedNs, operationUs, parameterNs, routerTokenNs } = PROFILE.compute;
    const parts = Object.values(plan.work).map(({ forward }) => forward);
    const sum = (of: (work: (typeof parts)[number]) => number) =>
      parts.reduce((total, work) => total + of(work), 0);
    const forwardMs =
      (1e3 * sum(({ flops }) => flops)) / flopsPerS +
      1e-6 * touchedNs * sum(({ touched }) => touched) +
      1e-3 * operationUs * sum(({ operations }) => operations) +
      1e-6 * 2 * 512 * routerTokenNs.hash!;
    expect(plan.partsMs.forward).toBeCloseTo(forwardMs, 9);
    expect(plan.partsMs.optimizer).toBeCloseTo(1e-6 * parameterNs * plan.parameters.model, 9);
    expect(plan.partsMs['exchange in node'] + plan.partsMs['all-reduce between nodes']).toBe(0);
    expect(plan.tokensPerS).toBeCloseTo((512 * 1000) / plan.stepMs, 6);
  });

  it('counts the passes of every micro-batch, one update, and the activations of one micro-batch', () => {
    const [one, four] = [['train.globalBatch=32'], ['train.globalBatch=128', 'train.microBatches=4']].map(
      (sets) =>
        predict(inputOf(configOf(['moe.router=locmoe', ...sets], 2, 2), { link: parseLink('1gbps,5us') })),
    );
    for (const part of TIME_PARTS) {
      const times = part === 'optimizer' || part.startsWith('all-reduce') ? 1 : 4;
      expect(four.partsMs[part], part).toBeCloseTo(times * one.partsMs[part], 9);
    }
    expect(four.stepMs).toBeLessThan(4 * one.stepMs);
    expect(TIME_PARTS.reduce((sum, part) => sum + four.partsMs[part], 0)).toBeCloseTo(four.stepMs, 9);
    expect(four.tokensPerS).toBeCloseTo((4 * one.tokensPerS * one.stepMs) / four.stepMs, 6);
    expect(four.allToAllShare).toBeGreaterThan(one.allToAllShare);
    expect(four.memory).toEqual(one.memory);
    expect(four.traffic.otherNodeBytes).toBe(4 * one.traffic.otherNodeBytes);
    expect(four.work.experts.forward.flops).toBe(4 * one.work.experts.forward.flops);
    expect(four.work.experts.kept).toBe(one.work.experts.kept);
    const whole = predict(inputOf(configOf(['moe.router=locmoe', 'train.globalBatch=128'], 2, 2)));
    expect(whole.memory.activations).toBe(4 * four.memory.activations);
  });

  it('moves the experts with tokens alone where only these are updated', () => {
    const movedOf = (expertUpdate: string, ...sets: string[]) => {
      const { partsMs, parameters } = predict(
        inputOf(configOf([`train.expertUpdate=${expertUpdate}`, ...sets])),
      );
      return (
        ((partsMs.optimizer * 1e6) / PROFILE.compute.parameterNs - parameters.shared) /
        parameters.expertsOfRank
      );
    };
    // Sequences of 16 tokens.
    expect(movedOf('touched', 'moe.expertGroups=1', 'train.globalBatch=1')).toBeCloseTo(1 - (7 / 8) ** 16, 9);
    const ofOneDomain = (1 - (3 / 4) ** 16) / 2;
    expect(movedOf('touched', 'moe.expertGroups=2', 'train.globalBatch=1')).toBeCloseTo(ofOneDomain, 9);
    expect(
      movedOf('touched', 'moe.expertGroups=2', 'train.globalBatch=3', 'train.microBatches=3'),
    ).toBeCloseTo(1 - (1 - ofOneDomain) ** 3, 9);
    expect(movedOf('dense', 'train.globalBatch=1')).toBeCloseTo(1, 9);
  });

  it('estimates the choice of a router by its rule where the calibration has none, and says so', () => {
    const { 'locmoe-plus': measuredNs, ...routerTokenNs } = PROFILE.compute.routerTokenNs;
    const profile = { ...PROFILE, compute: { ...PROFILE.compute, routerTokenNs } };
    const [known, unknown] = [PROFILE, profile].map((each) =>
      inputOf(configOf(['moe.router=locmoe-plus']), { profile: each }),
    );
    const forwardMs = (input: PlanInput) => predict(input).partsMs.forward;
    // Two layers of 512 tokens; a choice of four among 8 experts, which choose too.
    const differenceMs = 2 * 512 * (3 * 8 * 10 + 1000 - measuredNs!) * 1e-6;
    expect(forwardMs(unknown) - forwardMs(known)).toBeCloseTo(differenceMs, 9);
    const note = 'which has not measured router locmoe-plus';
    expect(describePlan(unknown, predict(unknown))).toContain(note);
    expect(describePlan(known, predict(known))).not.toContain(note);
  });

  it('is never faster with a slower link or a longer latency', () => {
    const withLink = (link: string) => stepMs([], 4, 2, { link: parseLink(link) });
    expectRising([
      stepMs([], 4, 2),
      ...['100gbps,5us', '10gbps,5us', '1gbps,5us', '10mbps,5us'].map(withLink),
    ]);
    expectRising(['1gbps,1us', '1gbps,100us', '1gbps,10ms'].map(withLink));
  });

  it('takes longer for more of everything, and on fewer cores', () => {
    for (const field of ['dFeedForward=64', 'numDenseLayers=1', 'numSparseLayers=2', 'vocabSize=512']) {
      const [name, value] = field.split('=');
      expect(stepMs([`model.${name}=${4 * Number(value)}`]), name).toBeGreaterThan(stepMs([]));
    }
    const switched = ['moe.router=switch', 'train.steps=400'];
    expectRising([stepMs([...switched, 'moe.tableAfter=40']), stepMs([...switched, 'moe.tableAfter=390'])]);
    expectRising([8, 16, 32].map((experts) => stepMs([`moe.numExperts=${experts}`])));
    expectRising([8, 4, 2, 1, 0.5].map((coresPerNode) => stepMs([], 1, 8, { coresPerNode })));
    const routed = (routing: Partial<typeof UNIFORM>) =>
      stepMs([], 2, 2, { link: parseLink('1gbps,5us'), routing: { ...UNIFORM, ...routing } });
    expectRising([0.5, 1, 2].map((keptPerToken) => routed({ keptPerToken })));
    // The router keeps less and less on the node.
    expectRising([0.5, 0.1, 0].map((localGain) => routed({ localGain })));
  });

  it('waits for the busiest expert, up to its capacity, unless others use the core meanwhile', () => {
    const waiting = (sets: readonly string[], changes: Partial<PlanInput>) =>
      predict(inputOf(configOf(sets, 1, 4), changes)).partsMs.waiting;
    const busy = { ...UNIFORM, imbalance: 3 };
    expect(waiting([], {})).toBe(0);
    expect(waiting([], { routing: busy })).toBeGreaterThan(0);
    const capped = waiting(['moe.capacityFactor=1.25'], { routing: busy });
    expect(capped).toBeCloseTo(waiting([], { routing: { ...UNIFORM, imbalance: 1.25 } }), 9);
    expect(waiting(['moe.capacityFactor=1.25'], { routing: busy, coresPerNode: 1 })).toBe(0);
  });

  it('has the hierarchical exchange win where latency is dear and there are several workers on a node', () => {
    const flat = stepMs(['cluster.exchange=flat'], 4, 2);
    expect(flat).toBeGreaterThan(stepMs([], 4, 2));
    expect(stepMs(['cluster.exchange=flat'], 8, 1)).toBe(stepMs([], 8, 1));
  });

  it("charges LocMoE+ for the candidates of all ranks, which grow with the cluster while a rank's tokens do not", () => {
    const sets = ['moe.router=locmoe-plus', 'moe.maxExpertsPerToken=2'];
    const profile = { ...PROFILE, compute: { ...PROFILE.compute, operationUs: 0 } };
    const forward = (workers: number) =>
      predict(
        inputOf(configOf([...sets, `train.globalBatch=${8 * workers}`], 1, workers), {
          coresPerNode: 32,
          profile,
        }),
      ).partsMs.forward;
    const added = forward(8) - forward(4);
    // Two layers, four more ranks of 8 x 16 tokens with two choices each; a rank has fewer experts but as
    // many rows.
    expect(added).toBeCloseTo(2 * 4 * 128 * 2 * PROFILE.compute.candidateNs * 1e-6, 9);
  });
});
