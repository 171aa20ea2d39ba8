import { describe, expect, it } from 'vitest';
import { numbersOfRanks } from '../../src/collectives/measure-peers.js';
import { LAYOUTS, PARTS, PEERS, scopeOf } from '../../src/collectives/scope.js';

const scope = (only: readonly string[], quick = false, peers = true) => scopeOf({ only, quick, peers });

describe('what is measured', () => {
  it('is everything by default, up to 16 MiB a pair and 64 MiB in a vector', () => {
    const { parts, layouts, cases, peers } = scope([]);
    expect([parts, layouts, peers]).toEqual([PARTS, LAYOUTS, PEERS]);
    const sizesOf = (wanted: string) =>
      cases.filter(({ collective }) => collective === wanted).map(({ bytes }) => bytes);
    expect([Math.min(...sizesOf('all-to-all')), Math.max(...sizesOf('all-to-all'))]).toEqual([
      16 << 10,
      16 << 20,
    ]);
    expect(Math.max(...sizesOf('all-reduce'))).toBe(64 << 20);
  });

  it('is what the words name; what belongs to layouts leaves the other parts out', () => {
    const { parts, layouts, cases, peers } = scope(['1x2', 'all-to-all', '16384', 'openmpi']);
    expect(parts).toEqual(['layouts']);
    expect(layouts).toEqual(['1x2']);
    expect(cases).toEqual([{ collective: 'all-to-all', bytes: 16_384 }]);
    expect(peers).toEqual(['openmpi']);
    expect(scope(['streams']).parts).toEqual(['streams']);
    expect(scope(['2x2', 'streams', 'layouts']).parts).toEqual(['layouts', 'streams']);
  });

  it('still has typical layouts and sizes if it is quick, and no peers if none are wanted', () => {
    const { layouts, cases, peers } = scope([], true, false);
    expect(peers).toEqual([]);
    expect(layouts).toEqual(['1x4', '2x2']);
    for (const bytes of [1 << 18, 1 << 20, 1 << 22])
      expect(cases).toContainEqual({ collective: 'all-to-all', bytes });
    for (const bytes of [1 << 22, 1 << 24, 1 << 26])
      expect(cases).toContainEqual({ collective: 'all-reduce', bytes });
    expect(scope(['1x2'], true).layouts).toEqual(['1x2']);
  });

  it('names a word that is nothing', () => {
    expect(() => scope(['3x3'])).toThrow(
      /^--only 3x3: expected one of layouts, hierarchical, streams, overlap, 1x2, /,
    );
  });
});

it('measures a peer once for each number of ranks that it is compared with', () => {
  expect(numbersOfRanks('OpenMPI, shared memory', LAYOUTS)).toEqual([2, 4]);
  expect(numbersOfRanks('OpenMPI, TCP', LAYOUTS)).toEqual([4, 8]);
  expect(numbersOfRanks('Gloo', LAYOUTS)).toEqual([2, 4, 8]);
});
