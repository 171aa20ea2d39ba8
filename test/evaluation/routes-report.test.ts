import type { RouteRow } from '@locmoe/run-format/routes-file';
import { describe, expect, it } from 'vitest';
import { layerLines } from '../../src/cli/routes/report-lines.js';
import { drawRoutes } from '../../src/evaluation/routes/picture.js';
import { reportRoutes } from '../../src/evaluation/routes/report.js';
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
  logSum: 2,
  weight: 1,
  outcome: 'kept',
  link: 'rank',
  bytes: 0,
};
const random = new CounterRandom(3, 'routes');

/** Rows of tokens with twenty ids in two domains, each with the expert that `choose` returns. */
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
    const { predicted, entropy, explained, shuffled } = reportOf((token) => token % 4);
    expect(predicted.expert.id).toEqual({ share: 1, error: 0, coverage: 1 });
    expect(predicted.expert.domain.share).toBeLessThan(0.3);
    expect(shuffled).toBeLessThan(0.35);
    expect(entropy).toBeCloseTo(2, 1);
    expect(explained.id).toBe(1);
    expect(explained.position).toBeCloseTo(0, 2);
    expect(explained['id before, given id and domain']).toBe(null);
  });

  it('is id and domain together, where neither tells it alone', () => {
    const { predicted, explained } = reportOf((token, domain) => (token + domain) % 2);
    expect(predicted.expert['id and domain'].share).toBe(1);
    expect(predicted.expert.id.share).toBeLessThan(0.6);
    expect(explained.id).toBeCloseTo(0, 2);
    expect(explained['id and domain']).toBe(1);
  });

  it('is the position', () => {
    const { predicted, gate } = reportOf((_, __, position) => position % 2);
    expect(predicted.expert.position.share).toBe(1);
    expect(predicted.expert.id.share).toBeLessThan(0.6);
    expect(gate).toEqual({ share: 0.5, margin: 0.5, entropy: 0.5, z: 4 });
  });

  it('is what stands before a token, beyond its id and domain', () => {
    const rows = rowsWhere((token) => token).map((row, i, all) => ({
      ...row,
      expert: i % LENGTH === 0 ? 0 : (all[i - 1]!.token + row.token) % 2,
    }));
    const { predicted, explained } = reportRoutes(rows)[0]!;
    expect(predicted.expert['id, domain, id before'].share).toBe(1);
    expect(predicted.expert['id and domain'].share).toBeLessThan(0.7);
    expect(explained['id before, given id and domain']).toBe(1);
  });

  it('is nothing of these, where the expert is drawn: the share is that of the floor, nothing is explained', () => {
    const { predicted, explained, shuffled } = reportOf((_, __, ___, draw) => Math.floor(4 * draw));
    const { share, error } = predicted.expert['id and domain'];
    expect(Math.abs(share - shuffled)).toBeLessThan(2 * error);
    for (const each of Object.values(explained)) expect(each).toBeCloseTo(0, 1);
    // The half-width of the confidence interval of 6,400 independent draws, by the binomial distribution.
    expect(error).toBeCloseTo(1.96 * Math.sqrt((0.25 * 0.75) / 6400), 2);
  });

  it('is told of each expert: load, domains, ids', () => {
    const { experts, load } = reportOf((token) => (token < 5 ? 0 : 1));
    expect(experts.map(({ expert }) => expert)).toEqual([0, 1]);
    expect(experts[0]!.mostTaken.map(({ token }) => token).sort()).toEqual([0, 1, 2, 3, 4]);
    expect(experts[0]!.mostExclusive.every(({ share }) => share === 1)).toBe(true);
    expect(load.max).toBeCloseTo(1.5, 1);
  });

  it('is told of pairs of experts: which share the ids they take', () => {
    const { overlaps } = reportOf((token, _, __, draw) => (token < 10 ? 0 : draw < 0.5 ? 1 : 2));
    expect(overlaps[0]!.experts).toEqual([1, 2]);
    expect(overlaps[0]!.overlap).toBeGreaterThan(0.9);
    expect(overlaps.slice(1).map(({ overlap }) => overlap)).toEqual([0, 0]);
  });

  it('compares the same text token by token, and reports on the last step alone', () => {
    const before = rowsWhere((token) => token % 4);
    const after = before.map((row, i) => ({ ...row, step: 2, expert: i % 4 === 0 ? 5 : row.expert }));
    const { stability, choices } = reportRoutes([...before, ...after])[0]!;
    expect(stability).toEqual([{ from: 1, to: 2, sameText: true, share: 0.75 }]);
    expect(choices).toBe(before.length);
  });

  it('compares other text by the usual expert of id and domain', () => {
    const before = rowsWhere((token) => token % 4);
    const after = rowsWhere((token) => token % 4).map((row, i) => ({
      ...row,
      step: 2,
      sequence: row.sequence + 1000,
      expert: i % 4 === 0 ? 5 : row.expert,
    }));
    const { stability, choices } = reportRoutes([...before, ...after])[0]!;
    expect(stability).toEqual([{ from: 1, to: 2, sameText: false, share: 0.75 }]);
    expect(choices).toBe(2 * before.length);
  });
});

describe('the picture', () => {
  it('says nothing of what a single sequence cannot tell', () => {
    const rows = rowsWhere((token) => token % 4).slice(0, LENGTH);
    const layers = reportRoutes(rows);
    expect(layers[0]!.predicted.expert.id).toEqual({ share: NaN, error: NaN, coverage: 0 });
    const printed = [drawRoutes(layers), ...layers.flatMap((layer) => layerLines(layer, String))].join('\n');
    expect(printed).not.toContain('NaN');
  });

  it('has a bar for each fact and expert, and no markup of a domain', () => {
    const rows = rowsWhere((token) => token % 4).map((row) => ({ ...row, domain: `<${row.domain}>` }));
    const svg = drawRoutes(reportRoutes(rows));
    for (const expert of ['e0', 'e1', 'e2', 'e3']) expect(svg).toContain(`>${expert}</text>`);
    expect(svg).toContain('&lt;domain0>');
    expect(svg).toContain('>100.0 %</text>');
  });
});
