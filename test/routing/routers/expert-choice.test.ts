import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import {
  createRouter,
  type MoeConfig,
  type Router,
  type RoutingDecision,
} from '../../../src/routing/index.js';
import { expectClose, randomIntegers, randomValues } from '../../model/support.js';
import { routerContext, routeTokens, sum } from '../context.js';

// Shapes: T tokens, d hidden size, E experts.

const T = 48;
const d = 6;
const domainsT = randomIntegers('domains', T, 3);
const contextOf = (moe: Partial<MoeConfig>) => routerContext({ router: 'expert-choice', ...moe });

interface Tokens {
  readonly x: Float32Array;
  readonly gate: Float32Array;
}

function route(router: Router, { x, gate }: Tokens, training: boolean): RoutingDecision {
  const weight = tf.tensor2d(gate, [d, gate.length / d]);
  const own = domainsT.subarray(0, x.length / d);
  return routeTokens(router, { x, domainsT: own }, new Map([['weight', weight]]), training);
}

/** S = softmax(X W_g) over the experts of the token's group, 0 for all others: S[t][e]. */
function paperScores({ x, gate }: Tokens, E: number, G: number): number[][] {
  return Array.from({ length: x.length / d }, (_, t) => {
    const terms: number[] = [];
    for (let e = 0; e < E; e++) {
      let logit = 0;
      for (let i = 0; i < d; i++) logit += x[t * d + i]! * gate[i * E + e]!;
      terms.push(Math.floor(e / (E / G)) === domainsT[t]! % G ? Math.exp(logit) : 0);
    }
    return terms.map((term) => term / sum(terms));
  });
}

/**
 * The tokens that each expert takes according to the paper: TopK of its column of S, among the tokens that rank the
 * expert among their best.
 */
function paperChoice(scores: number[][], E: number, capacity: number, limit: number): number[][] {
  return Array.from({ length: E }, (_, e) => {
    const open = [...scores.keys()].filter((t) => {
      const better = scores[t]!.filter((score) => score > scores[t]![e]!).length;
      return scores[t]![e]! > 0 && better < limit;
    });
    return open.sort((a, b) => scores[b]![e]! - scores[a]![e]!).slice(0, capacity);
  });
}

/** Weight of each kept pair, [t][e]; 0 for all others. */
function weightsOf({ expertsTK, weightsTK, numChoices }: RoutingDecision, E: number): number[][] {
  const weights = weightsTK!.dataSync();
  return Array.from({ length: expertsTK.length / numChoices }, (_, t) => {
    const row = Array<number>(E).fill(0);
    for (let k = t * numChoices; k < (t + 1) * numChoices; k++)
      if (expertsTK[k]! >= 0) row[expertsTK[k]!] = weights[k]!;
    return row;
  });
}

describe.each([
  [8, 1, 2, null],
  [6, 1, 1.3, 2],
  [6, 3, 0.8, null],
  [8, 2, 1.25, 3],
] as const)(
  '%i experts in %i groups, capacity factor %f, %s candidates',
  (E, G, capacityFactor, candidatesPerToken) => {
    const context = contextOf({ numExperts: E, expertGroups: G, capacityFactor, candidatesPerToken });
    const tokensOf = (name: string, seed: number): Tokens => ({
      x: randomValues(`${name} ${seed}`, T * d),
      gate: randomValues(`gate ${seed}`, d * E),
    });
    const limit = Math.min(candidatesPerToken ?? E, E / G);
    const capacity = Math.ceil((capacityFactor * T) / E);

    it('equals the paper: the choice, the weights, the counts, and no loss', () => {
      for (let seed = 0; seed < 5; seed++) {
        const tokens = tokensOf('x', seed);
        const scores = paperScores(tokens, E, G);
        const taken = paperChoice(scores, E, capacity, limit);
        const offered = paperChoice(scores, E, T, limit);
        const decision = route(createRouter(context), tokens, true);
        const expected = scores.map((row, t) => row.map((score, e) => (taken[e]!.includes(t) ? score : 0)));
        const actual = weightsOf(decision, E);
        expect(actual.map((row) => row.map((weight) => weight > 0))).toEqual(
          expected.map((row) => row.map((weight) => weight > 0)),
        );
        expectClose(actual.flat(), expected.flat(), 1e-6);
        expect([...decision.routedE]).toEqual(offered.map((each) => each.length));
        expect([...decision.overCapacityE]).toEqual(offered.map((each, e) => each.length - taken[e]!.length));
        expect(sum(decision.notChosenE)).toBe(0);
        expect([...decision.capacityE]).toEqual(Array(E).fill(capacity));
        expect(decision.auxiliaryLoss).toBeNull();
        if (candidatesPerToken === null && G === 1)
          expect([...decision.keptE]).toEqual(Array(E).fill(capacity));
      }
    });

    it('outside training keeps by the mean S of the C-th token, whatever comes later', () => {
      const router = createRouter(context);
      const batches = [0, 1, 2].map((i) => ({ ...tokensOf('x', 0), x: randomValues(`batch ${i}`, T * d) }));
      const cuts = batches.map((tokens) => {
        route(router, tokens, true);
        router.endStep();
        const scores = paperScores(tokens, E, G);
        return paperChoice(scores, E, capacity, limit).map((each, e) => scores[each.at(-1)!]![e]!);
      });
      const means = cuts[0]!.map((_, e) => sum(cuts.map((cut) => cut[e]!)) / 3);
      expectClose(router.state.get('threshold')!, means, 1e-6);
      const tokens = tokensOf('x', 0);
      const scores = paperScores(tokens, E, G);
      const offered = paperChoice(scores, E, T, limit);
      const whole = route(router, tokens, false);
      expect(weightsOf(whole, E).map((row) => row.map((weight) => weight > 0))).toEqual(
        scores.map((row, t) => row.map((score, e) => offered[e]!.includes(t) && score >= means[e]!)),
      );
      expect(sum(whole.notChosenE)).toBeGreaterThan(0);
      const prefix = route(router, { ...tokens, x: tokens.x.slice(0, 10 * d) }, false);
      expect([...prefix.expertsTK]).toEqual([...whole.expertsTK.subarray(0, 10 * whole.numChoices)]);
    });
  },
);

it('of tokens that an expert scores alike it takes the first ones, and a token the first experts', () => {
  const alike = { x: randomValues('x', T * d), gate: new Float32Array(d * 4) };
  const context = contextOf({ numExperts: 4, capacityFactor: 0.5, candidatesPerToken: 2 });
  const kept = weightsOf(route(createRouter(context), alike, true), 4);
  expect(kept).toEqual(Array.from({ length: T }, (_, t) => (t < 6 ? [0.25, 0.25, 0, 0] : [0, 0, 0, 0])));
});
