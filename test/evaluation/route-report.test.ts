import type { RouteRow } from '@locmoe/run-format/routes-file';
import { describe, expect, it } from 'vitest';
import { reportRoutes } from '../../src/evaluation/route-report.js';
import { CounterRandom } from '../../src/parameters/counter-random.js';

const SEQUENCES = 400;
const LENGTH = 16;
const ROW: RouteRow = {
  step: 1,
  rank: 0,
  node: 0,
  layer: 2,
  sequence: 0,
  domain: '',
  document: 0,
  position: 0,
  token: 0,
  choice: 0,
  expert: 0,
  expertRank: 0,
  expertNode: 0,
  gate: 1,
  bias: null,
  preference: null,
  score: 1,
  margin: 0.5,
  gateExpert: 0,
  entropy: 0.5,
  logSum: 1,
  weight: 1,
  outcome: 'kept',
  link: 'rank',
  bytes: 0,
};
const random = new CounterRandom(3, 'routes');

/** Tokens of twenty ids in two domains, whose expert is what `choose` says. */
function rowsWhere(
  choose: (token: number, domain: number, position: number, draw: number) => number,
): RouteRow[] {
  return Array.from({ length: SEQUENCES * LENGTH }, (_, i) => {
    const [sequence, position] = [Math.floor(i / LENGTH), i % LENGTH];
    const token = Math.floor(20 * random.uniform(2 * i));
    const domain = sequence % 2;
    const expert = choose(token, domain, position, random.uniform(2 * i + 1));
    return { ...ROW, sequence, domain: `domain${domain}`, position, token, expert };
  });
}

const reportOf = (...args: Parameters<typeof rowsWhere>) => reportRoutes(rowsWhere(...args))[0]!;

describe('what decides the choices', () => {
  it('is the id, where the expert follows from it', () => {
    const { predicted, entropy, shuffled } = reportOf((token) => token % 4);
    expect(predicted.expert.id).toEqual({ share: 1, coverage: 1 });
    expect(predicted.expert.domain.share).toBeLessThan(0.3);
    expect(shuffled.share).toBeLessThan(0.35);
    expect(entropy.id).toBe(0);
    expect(entropy.nothing).toBeCloseTo(2, 1);
  });

  it('is id and domain together, where neither tells it alone', () => {
    const { predicted, entropy } = reportOf((token, domain) => (token + domain) % 2);
    expect(predicted.expert['id and domain'].share).toBe(1);
    expect(predicted.expert.id.share).toBeLessThan(0.6);
    expect(entropy.id).toBeCloseTo(1, 1);
    expect(entropy['id and domain']).toBe(0);
  });

  it('is the position', () => {
    const { predicted, gateShare } = reportOf((_, __, position) => position % 2);
    expect(predicted.expert.position.share).toBe(1);
    expect(predicted.expert.id.share).toBeLessThan(0.6);
    expect(gateShare).toBe(0.5);
  });

  it('is nothing of these, where the expert is drawn: the share is that of the floor, the entropy whole', () => {
    const { predicted, entropy, shuffled } = reportOf((_, __, ___, draw) => Math.floor(4 * draw));
    expect(predicted.expert['id and domain'].share).toBeCloseTo(shuffled.share, 1);
    // Without the correction of Miller and Madow it would be below by 60 bits of a thousandth each.
    expect(entropy['id and domain']).toBeCloseTo(entropy.nothing, 2);
  });

  it('is told of each expert: load, domains, ids', () => {
    const { experts, load } = reportOf((token) => (token < 5 ? 0 : 1));
    expect(experts.map(({ expert }) => expert)).toEqual([0, 1]);
    expect(experts[0]!.mostTaken.map(({ token }) => token).sort()).toEqual([0, 1, 2, 3, 4]);
    expect(experts[0]!.mostExclusive.every(({ share }) => share === 1)).toBe(true);
    expect(load.max).toBeCloseTo(1.5, 1);
  });
});
