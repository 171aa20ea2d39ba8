import { describe, expect, it } from 'vitest';
import {
  allCells,
  HEADLINE_CELL,
  jobId,
  type Layout,
  narrowed,
  planJobs,
  quickWords,
  type Scope,
  settingsOf,
} from '../../routers/jobs.js';
import { VARIANT_IDS, VARIANTS, type VariantId } from '../../routers/variants.js';
import { qualityJob } from './support.js';

const WHOLE: Scope = {
  kinds: ['quality', 'time'],
  variants: VARIANT_IDS,
  cells: allCells(),
  seeds: [1, 2, 3],
  qualityLayout: '2x1',
};
const SIZE = { numExperts: 8, numDomains: 4 };
const QUICK: Scope = { ...WHOLE, kinds: ['quick'], seeds: [1] };

describe('planJobs', () => {
  it('lets all routers take turns, each beginning once', () => {
    const jobs = planJobs({
      ...WHOLE,
      kinds: ['time'],
      variants: ['hash', 'switch', 'locmoe'],
      cells: [HEADLINE_CELL],
    });
    expect(jobs.map(({ variant, seed }) => `${variant} ${seed}`)).toEqual([
      ...['hash 1', 'switch 1', 'locmoe 1'],
      ...['switch 2', 'locmoe 2', 'hash 2'],
      ...['locmoe 3', 'hash 3', 'switch 3'],
    ]);
  });

  it('has every router, cell and seed once for time, the cell of the headline first', () => {
    const jobs = planJobs({ ...WHOLE, kinds: ['time'] });
    expect(jobs).toHaveLength(VARIANT_IDS.length * 6 * 3);
    expect(new Set(jobs.map(jobId)).size).toBe(jobs.length);
    expect(jobs[0]).toMatchObject(HEADLINE_CELL);
    expect(allCells()[0]).toEqual(HEADLINE_CELL);
  });

  it('has every router and seed once for quality, on one layout, then one seed of the other capacities', () => {
    const jobs = planJobs({ ...WHOLE, kinds: ['quality'] });
    expect(new Set(jobs.map(jobId)).size).toBe(jobs.length);
    expect(new Set(jobs.map(({ layout }) => layout))).toEqual(new Set(['2x1']));
    const numOwn = VARIANT_IDS.length * 3;
    expect(jobs.slice(0, numOwn).every(({ capacity }) => capacity === null)).toBe(true);
    const frontier = jobs.slice(numOwn);
    expect(frontier.every(({ capacity, seed }) => capacity !== null && seed === 1)).toBe(true);
    expect(
      frontier.filter(({ variant }) => variant === 'locmoe-plus').map(({ capacity }) => capacity),
    ).toEqual(VARIANTS['locmoe-plus'].capacities);
  });

  it('makes quality before time', () => {
    const kinds = planJobs(WHOLE).map(({ kind }) => kind);
    expect(kinds.lastIndexOf('quality')).toBeLessThan(kinds.indexOf('time'));
  });

  it('has other capacities than the own one', () => {
    for (const { sets, capacities = [] } of Object.values(VARIANTS))
      for (const capacity of capacities) expect(sets).not.toContain(`moe.${capacity}`);
  });
});

describe('settingsOf', () => {
  it('sets the capacity after what the router has of itself', () => {
    const sets = settingsOf(qualityJob('locmoe-plus', 1, 'capacityFactor=0.2'), SIZE);
    expect(sets.indexOf('moe.capacityFactor=0.2')).toBeGreaterThan(sets.indexOf('moe.capacityFactor=0.37'));
    expect(sets).toContain('cluster.workersPerNode=1');
  });

  it('has level 1 by nodes, where there are domains enough, or by domains, in groups that divide the experts', () => {
    const groupsOf = (variant: VariantId, layout: Layout, numDomains: number) =>
      settingsOf({ ...qualityJob(variant, 1), layout }, { ...SIZE, numDomains }).filter((set) =>
        set.startsWith('moe.expertGroups'),
      );
    expect(groupsOf('locmoe', '2x2', 4)).toEqual(['moe.expertGroups=2']);
    expect(groupsOf('locmoe', '4x1', 4)).toEqual(['moe.expertGroups=4']);
    expect(groupsOf('locmoe', '4x1', 1)).toEqual(['moe.expertGroups=1']);
    expect(groupsOf('locmoe-plus', '2x2', 4)).toEqual(['moe.expertGroups=4']);
    // Eight experts cannot be cut into three equal groups.
    expect(groupsOf('locmoe-plus', '2x2', 3)).toEqual(['moe.expertGroups=2']);
    expect(groupsOf('switch', '2x2', 4)).toEqual([]);
  });
});

describe('quickWords', () => {
  it.each([
    [[], ['2x1', 'domain', 'hash', 'switch']],
    [['2x2'], ['2x2', 'domain', 'hash', 'switch']],
    [
      ['mixed', 'locmoe-plus'],
      ['mixed', 'locmoe-plus', '2x1'],
    ],
  ])('%j: the preset fills in what is not named', (only, expected) => {
    expect(quickWords(only, ['hash', 'switch'])).toEqual(expected);
  });
});

describe('narrowed', () => {
  it('narrows each kind of which something is named', () => {
    const scope = narrowed(WHOLE, ['switch', 'mixed', 'time']);
    expect(scope.kinds).toEqual(['time']);
    expect(scope.variants).toEqual(['switch']);
    expect(scope.cells.map(({ layout }) => layout)).toEqual(['2x1', '2x2', '4x1']);
    expect(scope.cells.map(({ placement }) => placement)).toEqual(['mixed', 'mixed', 'mixed']);
    expect(narrowed(WHOLE, [])).toEqual(WHOLE);
  });

  it('refuses a word that it does not know', () => {
    expect(() => narrowed(WHOLE, ['swich'])).toThrow(
      /--only swich: expected one of quality, time, hash, hash-two-level, switch, switch-plain, locmoe/,
    );
  });

  it('refuses a kind where one run serves for both', () => {
    expect(() => narrowed(QUICK, ['time'])).toThrow(
      /--only time: a run of --quick serves for quality and time/,
    );
    expect(narrowed(QUICK, ['2x1', 'domain', 'hash']).kinds).toEqual(['quick']);
  });
});
