import { describe, expect, it } from 'vitest';
import { allCells, HEADLINE_CELL, jobId, planJobs, scopeOf, VARIANT_IDS } from '../../src/routers/jobs.js';

describe('planJobs', () => {
  it('lets all routers take turns, each beginning once', () => {
    const jobs = planJobs({
      variants: ['hash', 'switch', 'locmoe'],
      cells: [HEADLINE_CELL],
      seeds: [1, 2, 3],
    });
    expect(jobs.map(({ variant, seed }) => `${variant} ${seed}`)).toEqual([
      ...['hash 1', 'switch 1', 'locmoe 1'],
      ...['switch 2', 'locmoe 2', 'hash 2'],
      ...['locmoe 3', 'hash 3', 'switch 3'],
    ]);
  });

  it('has every router, cell and seed once, the cell of the headline first', () => {
    const jobs = planJobs(scopeOf([], [1, 2, 3]));
    expect(jobs).toHaveLength(VARIANT_IDS.length * 4 * 3);
    expect(new Set(jobs.map(jobId)).size).toBe(jobs.length);
    expect(jobs[0]).toMatchObject(HEADLINE_CELL);
    expect(allCells()[0]).toEqual(HEADLINE_CELL);
  });
});

describe('scopeOf', () => {
  it('narrows each kind of which something is named', () => {
    const scope = scopeOf(['switch', 'mixed'], [1]);
    expect(scope.variants).toEqual(['switch']);
    expect(scope.cells.map(({ layout }) => layout)).toEqual(['2x2', '4x1']);
    expect(scope.cells.map(({ placement }) => placement)).toEqual(['mixed', 'mixed']);
  });

  it('refuses a word that it does not know', () => {
    expect(() => scopeOf(['swich'], [1])).toThrow(/--only swich: expected one of hash, switch, locmoe/);
  });
});
