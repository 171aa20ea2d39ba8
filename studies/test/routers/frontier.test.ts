import { describe, expect, it } from 'vitest';
import { Comparison } from '../../routers/comparison.js';
import { controlLine, type FrontierPoint, frontierOf, perplexityAt } from '../../routers/frontier.js';
import type { VariantId } from '../../routers/variants.js';
import { qualityJob, runResult } from './support.js';

const run = (
  variant: VariantId,
  capacity: string | null,
  tokens: number,
  losses: readonly [causal: number, training: number],
  seed = 1,
) =>
  runResult(
    qualityJob(variant, seed, capacity),
    { tokensPerExpertOfAllSteps: tokens },
    {
      causal: { loss: losses[0], expertsPerToken: 1 },
      training: { loss: losses[1], expertsPerToken: 0.4 },
    },
  );

const comparison = new Comparison([
  run('hash-first-come', 'capacityFactor=0.6', 300, [2.9, 3.1]),
  run('locmoe-plus', null, 190, [3.05, 2.9]),
  run('hash-first-come', null, 175, [3.0, 3.2]),
  run('switch', null, 500, [3, 3]),
  run('hash', null, 550, [2.8, 2.8]),
  // Seeds that the other capacities do not have.
  run('switch', null, 490, [9, 9], 2),
]);

describe('frontierOf', () => {
  const points = frontierOf(comparison);

  it('has every capacity of the one seed that has them, by router and tokens', () => {
    expect(
      points.map(({ router, capacity, tokensPerExpert }) => [router, capacity, tokensPerExpert]),
    ).toEqual([
      ['hash', 'capacityFactor of the recipe', 550],
      ['switch', 'capacityFactor of the recipe', 500],
      ['locmoe-plus', 'capacityFactor=0.37', 190],
      ['hash-first-come', 'capacityFactor=0.37', 175],
      ['hash-first-come', 'capacityFactor=0.6', 300],
    ]);
    expect(points.map(({ tokensVsBaseline }) => tokensVsBaseline)).toEqual([
      ...[0.1, 0, -0.62, -0.65, -0.4].map((change) => expect.closeTo(change, 12)),
    ]);
  });

  it('validates with as many tokens as were trained on', () => {
    const lossOf = (router: VariantId) =>
      Math.log(points.find((point) => point.router === router)!.perplexity);
    expect(lossOf('locmoe-plus')).toBeCloseTo(3.05, 12);
    expect(lossOf('hash-first-come')).toBeCloseTo(3.2, 12);
    expect(points.at(-1)!.perplexityCausal).toBeCloseTo(Math.exp(2.9), 12);
  });

  it('ends the line of first come where hash drops nothing', () => {
    expect(controlLine(points, 'first come').map(({ tokensPerExpert }) => tokensPerExpert)).toEqual([
      175, 300, 550,
    ]);
    expect(controlLine(points, 'random')).toEqual([]);
  });

  it('does not know the tokens of a baseline that was not run', () => {
    const [point] = frontierOf(new Comparison([run('hash', null, 550, [2.8, 2.8])]));
    expect(point!.tokensVsBaseline).toBeNull();
  });
});

describe('perplexityAt', () => {
  const at = (tokensPerExpert: number, perplexity: number): FrontierPoint => ({
    router: 'hash',
    capacity: '',
    tokensPerExpert,
    tokensVsBaseline: null,
    perplexity,
    perplexityCausal: perplexity,
  });
  const line = [at(100, 64), at(200, 16), at(400, 8)];

  it('goes along the straight line of the loss', () => {
    expect(perplexityAt(line, 150)).toBeCloseTo(32, 9);
    expect(perplexityAt(line, 300)).toBeCloseTo(Math.sqrt(128), 9);
    expect([100, 200, 400].map((tokens) => perplexityAt(line, tokens))).toEqual([64, 16, 8]);
  });

  it('does not go on beyond the line', () => {
    expect([99, 401].map((tokens) => perplexityAt(line, tokens))).toEqual([null, null]);
    expect(perplexityAt([], 100)).toBeNull();
  });
});
