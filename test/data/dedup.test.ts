import { describe, expect, it } from 'vitest';
import { CompactSet } from '../../src/data/prepare/compact-set.js';
import { isSampled, NearDuplicates, normalise, signatureOf } from '../../src/data/prepare/dedup.js';
import { chunkText } from '../../src/data/read/chunks.js';

const slowly = (text: string): string => text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '');
const fast = (text: string): string => String.fromCharCode(...normalise(text));

describe('normalise', () => {
  it('is the lower case of letters and digits, of every UTF-16 unit and of what depends on its neighbours', () => {
    for (let unit = 0; unit < 2 ** 16; unit += 64) {
      const text = Array.from({ length: 64 }, (_, i) => String.fromCharCode(unit + i)).join('-');
      expect(fast(text), unit.toString(16)).toBe(slowly(text));
    }
    for (const text of ['ΟΔΟΣ, ΣΣ.', 'İstanbul', '𝔘nicode 𠀋, 😀!', '', ' \n'])
      expect(fast(text)).toBe(slowly(text));
  });
});

describe('CompactSet', () => {
  it.each([16, 32] as const)('of %i bits knows what it holds and little else', (bits) => {
    const set = new CompactSet(10_000, bits);
    const hash = (i: number): [number, number] => [
      Math.imul(i, 0x9e3779b1) >>> 0,
      Math.imul(i ^ 77, 0x85ebca6b) >>> 0,
    ];
    for (let i = 0; i < 10_000; i++) set.add(...hash(i));
    for (let i = 0; i < 10_000; i++) expect(set.has(...hash(i))).toBe(true);
    let wrong = 0;
    for (let i = 10_000; i < 40_000; i++) if (set.has(...hash(i))) wrong++;
    expect(wrong).toBeLessThan(bits === 16 ? 20 : 1);
    set.add(...hash(500_000));
    expect(set.has(...hash(500_000))).toBe(false);
  });
});

describe('NearDuplicates', () => {
  const words = Array.from({ length: 4000 }, (_, i) => `word${(i * 7919) % 4001}`);
  const text = words.slice(0, 500).join(' ');

  it.each([8, 64])('drops a shifted copy and keeps other text, with one shingle in %i', (sample) => {
    const seen = new NearDuplicates(10, 10_000);
    const isNew = (each: string) => seen.isNew(signatureOf(each, sample));
    expect(isNew(text)).toBe(true);
    expect(isNew(`A new beginning. ${text}`)).toBe(false);
    expect(isNew(`${text.slice(0, 250)} and something else`)).toBe(false);
    expect(isNew(words.slice(500, 1000).join(', '))).toBe(true);
    expect(isNew(' ... ')).toBe(false);
  });

  it('samples fewer shingles, which are among those of a smaller sample', () => {
    const { shingles } = signatureOf(text, 8);
    const some = [...signatureOf(text, 32).shingles];
    expect(some.length).toBeGreaterThan(0);
    const kept = [...shingles].filter((_, i) => isSampled(shingles[i | 1]!, 32));
    expect(some).toEqual(kept);
  });
});

it('chunks a long text without line ends in time proportional to its length', () => {
  // Processor time, as wall time depends on the machine's load.
  const started = process.cpuUsage();
  expect(chunkText('word '.repeat(400_000)).length).toBe(500);
  expect(process.cpuUsage(started).user / 1000).toBeLessThan(2000);
});
