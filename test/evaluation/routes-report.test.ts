import type { RouteRow } from '@locmoe/run-format/routes-file';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cacheLines, layerLines } from '../../src/cli/routes/report-lines.js';
import { reportCache } from '../../src/evaluation/routes/cache.js';
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

/** Rows of one sequence whose tokens have these experts. */
function sequenceOf(tokens: readonly (readonly number[])[], changes: Partial<RouteRow> = {}): RouteRow[] {
  return tokens.flatMap((experts, position) =>
    experts.map((expert, choice) => ({ ...ROW, position, token: position, choice, expert, ...changes })),
  );
}

const one = (...experts: number[]) => experts.map((expert) => [expert]);

describe('a cache of a part of the experts', () => {
  it('has the hits and reuse distances that are counted by hand', () => {
    const rows = [...sequenceOf(one(0, 0, 1, 0)), ...sequenceOf(one(1, 0, 0, 2, 1, 0), { sequence: 1 })];
    const [report, all] = reportCache(rows, 8);
    expect(report).toMatchObject({ layer: 2, numExperts: 8, lookups: 6 });
    // Of the second sequence: 1 (2 tokens ago, 2 experts), 0 (2, 2), 0 (1, 1), 2 (first), 1 (4, 3), 0 (3, 3).
    expect(report!.recorded).toEqual({
      reuse: { tokens: { p50: 2, p90: 4 }, experts: { p50: 2, p90: 3 } },
      hits: [
        { held: 1, withinText: 1 / 6, overTexts: 1 / 6, mostUsed: 3 / 6 },
        { held: 2, withinText: 1 / 6, overTexts: 3 / 6, mostUsed: 5 / 6 },
        { held: 4, withinText: 3 / 6, overTexts: 5 / 6, mostUsed: 1 },
      ],
    });
    expect(all).toEqual({ ...report, layer: null });
  });

  it('looks up all choices of a token, those over capacity too, but none that an expert refused', () => {
    const tokens = sequenceOf([
      [0, 1],
      [1, 0],
      [1, 0],
    ]);
    const rows = tokens.map((row, i) => ({ ...row, outcome: i % 2 ? 'over capacity' : 'kept' }) as const);
    const refused = { ...ROW, position: 2, token: 2, choice: 2, expert: 3, outcome: 'not chosen' } as const;
    const [report] = reportCache([...rows, refused], 4);
    // 0 (first), 1 (first), 1 (1 token ago, 1 expert), 0 (1, 2), 1 (1, 2), 0 (1, 2).
    expect(report!.recorded).toEqual({
      reuse: { tokens: { p50: 1, p90: 1 }, experts: { p50: 2, p90: 2 } },
      hits: [
        { held: 1, withinText: 1 / 6, overTexts: 1 / 6, mostUsed: NaN },
        { held: 2, withinText: 4 / 6, overTexts: 4 / 6, mostUsed: NaN },
      ],
    });
    expect(cacheLines([report!]).join('\n')).not.toMatch(/NaN|null/);
  });

  it('takes packed samples of one token for tokens of their own', () => {
    const [report] = reportCache(sequenceOf(one(0, 1, 1, 0), { position: 0 }), 2);
    expect(report!.recorded.reuse.tokens).toEqual({ p50: 1, p90: 3 });
  });

  it('chooses the most used experts on half of the sequences of each domain', () => {
    const rows = [0, 1, 2, 3].flatMap((sequence) =>
      sequenceOf(one(...new Array(6).fill(sequence < 2 ? 0 : 1)), {
        sequence,
        domain: sequence < 2 ? 'en' : 'zh',
      }),
    );
    expect(reportCache(rows, 4)[0]!.recorded.hits.map(({ mostUsed }) => mostUsed)).toEqual([0.5, 1]);
  });

  it('looks at the last step alone, where steps routed the same text', () => {
    const [before, after] = [1, 2].map((step) =>
      [0, 1].flatMap((sequence) => sequenceOf(one(step, step, 0, 5, step), { step, sequence })),
    ) as [RouteRow[], RouteRow[]];
    expect(reportCache([...before, ...after], 8)).toEqual(reportCache(after, 8));
  });

  it('has as many hits as chance, where experts are drawn', () => {
    const drawn = Array.from({ length: 40 }, (_, sequence) =>
      sequenceOf(
        Array.from({ length: 100 }, (_, s) => [Math.floor(16 * random.uniform(100 * sequence + s))]),
        { sequence },
      ),
    );
    const [report] = reportCache(drawn.flat(), 16);
    for (const { held, overTexts, mostUsed } of report!.recorded.hits)
      for (const share of [overTexts, mostUsed]) expect(Math.abs(share - held / 16)).toBeLessThan(0.04);
    // Half of the experts are soon in a cache that is empty at first.
    const { withinText, overTexts } = report!.recorded.hits[2]!;
    expect(withinText).toBeLessThan(overTexts);
  });

  it('agrees with caches that are simulated one by one', () => {
    const choices = fc.uniqueArray(fc.nat(7), { minLength: 1, maxLength: 3 });
    const sequences = fc.array(
      fc.record({
        step: fc.integer({ min: 1, max: 3 }),
        layer: fc.integer({ min: 2, max: 3 }),
        domain: fc.constantFrom('en', 'zh'),
        tokens: fc.array(choices, { minLength: 1, maxLength: 12 }),
      }),
      { minLength: 1, maxLength: 12 },
    );
    fc.assert(
      fc.property(sequences, (drawn) => {
        const numbered = drawn.map((each, sequence) => ({ ...each, sequence }));
        // The files of several ranks do not come in the order of the sequences.
        const rows = numbered.toReversed().flatMap(({ tokens, ...place }) =>
          // Steps with the same token ids would be taken for the same text.
          sequenceOf(tokens, place).map((row) => ({ ...row, document: place.sequence })),
        );
        const reports = reportCache(rows, 8);
        const simulated = [2, 3].flatMap((layer) => {
          const ofLayer = numbered.filter((each) => each.layer === layer);
          return ofLayer.length === 0 ? [] : [{ layer, ...simulate(ofLayer) }];
        });
        expect(reports.map(({ layer }) => layer)).toEqual([...simulated.map(({ layer }) => layer), null]);
        for (const [i, { recorded, lookups }] of reports.entries()) {
          const of = reports[i]!.layer === null ? simulated : [simulated[i]!];
          expect(lookups).toBe(sum(of.map((each) => each.lookups)));
          for (const { held, ...hits } of recorded.hits)
            for (const cache of ['withinText', 'overTexts', 'mostUsed'] as const) {
              const counted = of.filter((each) => cache !== 'mostUsed' || each.hasFirstHalf);
              const expected =
                sum(counted.map((each) => each.hits[cache][held]!)) /
                sum(counted.map((each) => each.lookups));
              expect(hits[cache]).toBe(expected);
            }
          const tokens = of.flatMap((each) => each.tokens).sort((a, b) => a - b);
          expect(recorded.reuse.tokens.p50).toBe(tokens[Math.ceil(tokens.length / 2) - 1] ?? null);
        }
      }),
      { seed: 1, numRuns: 300 },
    );
  });
});

interface Sequence {
  readonly step: number;
  readonly domain: string;
  readonly sequence: number;
  readonly tokens: readonly (readonly number[])[];
}

/** Simulates each cache of the sequences of one layer of eight experts as a list of what it holds. */
function simulate(given: readonly Sequence[]) {
  const ordered = given.toSorted((a, b) => a.step - b.step || a.sequence - b.sequence);
  const isCounted = ({ domain, ...one }: Sequence) => {
    const ofDomain = ordered.filter((each) => each.domain === domain);
    return ofDomain.findIndex(({ sequence }) => sequence === one.sequence) >= Math.floor(ofDomain.length / 2);
  };
  const firstHalf = ordered.filter((each) => !isCounted(each)).flatMap(({ tokens }) => tokens.flat());
  const numUses = (expert: number) => firstHalf.filter((each) => each === expert).length;
  const byUse = [0, 1, 2, 3, 4, 5, 6, 7].sort((a, b) => numUses(b) - numUses(a));
  const lru = (held: number, isKept: boolean) => {
    let hits = 0;
    let cache: number[] = [];
    for (const sequence of ordered) {
      if (!isKept) cache = [];
      for (const expert of sequence.tokens.flat()) {
        if (cache.includes(expert)) hits += isCounted(sequence) ? 1 : 0;
        cache = [...cache.filter((each) => each !== expert), expert].slice(-held);
      }
    }
    return hits;
  };
  const counted = ordered.filter(isCounted).flatMap(({ tokens }) => tokens.flat());
  const all = ordered.flatMap((each) => each.tokens.map((experts) => ({ experts, counts: isCounted(each) })));
  const hitsOf = (count: (held: number) => number) =>
    Object.fromEntries([1, 2, 4].map((held) => [held, count(held)]));
  return {
    lookups: counted.length,
    hasFirstHalf: firstHalf.length > 0,
    tokens: all.flatMap(({ experts, counts }, t) =>
      counts
        ? experts.flatMap((expert) => {
            const last = all.slice(0, t).findLastIndex((each) => each.experts.includes(expert));
            return last < 0 ? [] : [t - last];
          })
        : [],
    ),
    hits: {
      withinText: hitsOf((held) => lru(held, false)),
      overTexts: hitsOf((held) => lru(held, true)),
      mostUsed: hitsOf((held) => counted.filter((expert) => byUse.slice(0, held).includes(expert)).length),
    },
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
