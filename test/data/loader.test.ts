import { describe, expect, it } from 'vitest';
import type { Batch } from '../../src/data/batch.js';
import type { Dataset } from '../../src/data/dataset.js';
import { domainMixture } from '../../src/data/domain-mixture.js';
import { createLoader, type LoaderOptions } from '../../src/data/loader.js';

const SEQ_LEN = 4;

/** Token ids that tell where they come from: domain * 10,000 + split * 5,000 + position. */
function dataset(lengths: readonly (readonly [train: number, validation: number])[]): Dataset {
  const split = (domain: number, part: number, length: number) => ({
    documents: 1,
    bytes: length,
    marks: null,
    ids: Uint16Array.from({ length }, (_, i) => domain * 10_000 + part * 5000 + i),
  });
  return {
    dir: '',
    key: '',
    vocabSize: 65_536,
    endOfText: 65_535,
    tokenizerFile: '',
    tokenizerSha256: '',
    domains: lengths.map(([train, validation], domain) => ({
      name: `domain${domain}`,
      train: split(domain, 0, train),
      validation: split(domain, 1, validation),
      validationEntropy: 0,
    })),
    validationEntropy: 0,
    close: () => undefined,
  };
}

const DATA = dataset([
  [402, 41],
  [203, 30],
  [81, 9],
]);

function loader(change: Partial<LoaderOptions> = {}) {
  return createLoader({
    dataset: DATA,
    weights: [3, 2, 1],
    seed: 5,
    globalBatch: 8,
    seqLen: SEQ_LEN,
    rank: 0,
    worldSize: 1,
    ...change,
  });
}

/** First token of every sequence. */
function starts(batch: Batch): number[] {
  return Array.from({ length: batch.numSequences }, (_, i) => batch.tokenIds[i * batch.seqLen]!);
}

function concatenated(batches: readonly Batch[]) {
  return {
    tokenIds: batches.flatMap(({ tokenIds }) => [...tokenIds]),
    targets: batches.flatMap(({ targets }) => [...targets]),
    domains: batches.flatMap(({ domains }) => [...domains]),
  };
}

function ranks(worldSize: number) {
  return Array.from({ length: worldSize }, (_, rank) => loader({ worldSize, rank }));
}

it('placesForStep says where the tokens of the batch stand', () => {
  for (const each of ranks(2))
    for (const step of [0, 77]) {
      const { tokenIds, targets, numSequences, seqLen } = each.batchForStep(step);
      const places = each.placesForStep(step);
      expect(places).toHaveLength(numSequences);
      places.forEach(({ domain, begin, end }, i) => {
        const { train } = DATA.domains.find(({ name }) => name === domain)!;
        const sequence = [...tokenIds.slice(i * seqLen, (i + 1) * seqLen), targets[(i + 1) * seqLen - 1]];
        expect([...train.ids.slice(begin, end)]).toEqual(sequence);
      });
    }
});

describe('batchForStep', () => {
  it('reads consecutive tokens of the domain it names, targets one ahead', () => {
    for (let step = 0; step < 50; step++) {
      const batch = loader().batchForStep(step);
      starts(batch).forEach((start, row) => {
        expect(Math.floor(start / 10_000)).toBe(batch.domains[row]);
        for (let i = 0; i < SEQ_LEN; i++) {
          expect(batch.tokenIds[row * SEQ_LEN + i]).toBe(start + i);
          expect(batch.targets[row * SEQ_LEN + i]).toBe(start + i + 1);
        }
      });
    }
  });

  it.each([2, 8])('over %i ranks makes up the batch of one', (worldSize) => {
    for (const step of [0, 1, 17, 90_001])
      expect(concatenated(ranks(worldSize).map((rank) => rank.batchForStep(step)))).toEqual(
        concatenated([loader().batchForStep(step)]),
      );
  });

  it('over all ranks is known to each', () => {
    for (const step of [0, 17]) {
      const whole = loader().batchForStep(step);
      for (const rank of ranks(4)) expect(rank.globalBatchForStep(step)).toEqual(whole);
    }
  });

  it('shows every window once an epoch, in another order each epoch', () => {
    const numWindows = [100, 50, 20];
    const seen: number[][] = [[], [], []];
    const all = loader();
    for (let step = 0; step < 120; step++) {
      const batch = all.batchForStep(step);
      starts(batch).forEach((start, row) => {
        seen[batch.domains[row]!]!.push((start % 10_000) / SEQ_LEN);
      });
    }
    seen.forEach((order, domain) => {
      const n = numWindows[domain]!;
      const epochs = Array.from({ length: Math.floor(order.length / n) }, (_, e) =>
        order.slice(e * n, (e + 1) * n),
      );
      expect(epochs.length).toBeGreaterThanOrEqual(4);
      for (const epoch of epochs)
        expect(epoch.toSorted((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, i) => i));
      expect(new Set(epochs.map(String)).size).toBe(epochs.length);
    });
  });

  it('depends on the step and the seed, not on what was asked before', () => {
    const used = loader();
    for (const step of [900, 3, 77, 0, 901]) used.batchForStep(step);
    for (const step of [0, 77, 900]) expect(used.batchForStep(step)).toEqual(loader().batchForStep(step));
    expect(loader({ seed: 6 }).batchForStep(0)).not.toEqual(loader().batchForStep(0));
  });

  it('refuses what it cannot do, with names and counts', () => {
    expect(() => loader({ worldSize: 3 })).toThrow(/globalBatch: 8 .*3 workers/);
    expect(() => loader({ weights: [1, 2] })).toThrow(/2 weights for 3 domains/);
    expect(() => loader({ weights: [1, 2, 0] })).toThrow(/positive weight/);
    expect(() => loader({ seqLen: 9 })).toThrow(
      /domain2 has 9 validation tokens, fewer than one window of 10/,
    );
    expect(() => loader({ seqLen: 8 })).not.toThrow();
  });
});

describe('validationBatches', () => {
  it('takes evenly spread windows of every domain, each once, and marks the fillers', () => {
    const batches = loader().validationBatches(5);
    const rows = batches.flatMap((batch) =>
      starts(batch).map((start, i) => ({ start, domain: batch.domains[i]!, valid: batch.valid[i] })),
    );
    expect(rows.every(({ start, domain }) => Math.floor(start / 10_000) === domain)).toBe(true);
    // The domains have 10, 7 and 2 windows: 5 of each of the first two are validated, and both of the last.
    const valid = rows.filter((row) => row.valid === 1).map(({ start }) => (start % 10_000) - 5000);
    expect(valid).toEqual([0, 8, 16, 24, 32, 0, 4, 8, 16, 20, 0, 4]);
    expect(rows).toHaveLength(16);
    expect(rows.filter((row) => row.valid === 0)).toHaveLength(4);
  });

  it.each([2, 8])(
    'over %i ranks: batches of equal number and shape that make up those of one',
    (worldSize) => {
      const whole = loader().validationBatches(5);
      const parts = ranks(worldSize).map((rank) => rank.validationBatches(5));
      for (const part of parts)
        expect(part.map((b) => b.numSequences)).toEqual(whole.map(() => 8 / worldSize));
      whole.forEach((batch, k) => {
        const together = parts.map((part) => part[k]!);
        expect(concatenated(together)).toEqual(concatenated([batch]));
        expect(together.flatMap(({ valid }) => [...valid])).toEqual([...batch.valid]);
      });
    },
  );
});

describe('placement by domain', () => {
  const homes = [
    [0, 1],
    [2, 3],
    [2, 3],
  ];
  const placed = Array.from({ length: 4 }, (_, rank) =>
    loader({ worldSize: 4, rank, homeRanksOfDomain: homes, weights: [1, 1, 1] }),
  );
  const whole = loader({ weights: [1, 1, 1] });

  it('deals out the same global batch, equally many sequences to each rank', () => {
    for (const step of [0, 1, 50]) {
      const parts = placed.map((each) => each.batchForStep(step));
      expect(parts.map(({ numSequences }) => numSequences)).toEqual([2, 2, 2, 2]);
      expect(parts.flatMap(starts).toSorted((a, b) => a - b)).toEqual(
        starts(whole.batchForStep(step)).toSorted((a, b) => a - b),
      );
    }
  });

  it('sends domains home, in training and validation', () => {
    const batches = placed.map((each) => [each.batchForStep(3), ...each.validationBatches(5)]);
    const atHome = batches.flatMap((ofRank, rank) =>
      ofRank.flatMap(({ domains }) => [...domains].map((domain) => homes[domain]!.includes(rank))),
    );
    expect(atHome.filter(Boolean).length / atHome.length).toBeGreaterThan(0.7);
  });

  it('validates every window once and marks the fillers, as with mixed placement', () => {
    const valid = (batches: ReturnType<typeof whole.validationBatches>) =>
      batches.flatMap((batch) => starts(batch).filter((_, i) => batch.valid[i] === 1));
    const parts = placed.flatMap((each) => valid(each.validationBatches(5)));
    expect(parts.toSorted((a, b) => a - b)).toEqual(
      valid(whole.validationBatches(5)).toSorted((a, b) => a - b),
    );
  });
});

describe('domainMixture', () => {
  it.each([[[1]], [[0.7, 0.2, 0.1]], [[5, 1, 1, 1, 1, 1]], [[1, 1e-9]]])(
    'keeps the share of %j in every prefix to within one sequence',
    (weights) => {
      const total = weights.reduce((a, b) => a + b, 0);
      const mixture = domainMixture(weights);
      const counts = weights.map(() => 0);
      for (let g = 0; g < 60_000; g++) {
        const { domain, ordinal } = mixture.at(g);
        if (ordinal !== counts[domain]) expect({ g, ordinal }).toEqual({ g, ordinal: counts[domain] });
        counts[domain]!++;
        // A tiny weight gets one sequence in 50,400, so up to two in this range.
        weights.forEach((weight, d) => {
          const error = Math.abs(counts[d]! - (weight / total) * (g + 1));
          if (error > 1 + 3 * Number(weight < 1e-4 * total || weights.includes(1e-9)))
            expect({ g, d, error }).toBeUndefined();
        });
      }
    },
  );
});
