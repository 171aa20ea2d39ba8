import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Arena, type Block } from '../../../../src/ops/kernels/onednn/arena.js';

const KB = 1024;

it('gives blocks that do not overlap, in any order of taking and giving back', () => {
  const arena = new Arena();
  const request = fc.record({ takes: fc.boolean(), kilobytes: fc.nat(2000), which: fc.nat() });
  fc.assert(
    fc.property(fc.array(request, { maxLength: 60 }), (requests) => {
      const held: Block[] = [];
      for (const { takes, kilobytes, which } of requests) {
        if (takes) held.push(arena.take(kilobytes * KB));
        else if (held.length > 0) arena.give(held.splice(which % held.length, 1)[0]);
        const sorted = [...held].sort((a, b) => a.begin - b.begin);
        for (const block of sorted) {
          expect(block.begin % 64).toBe(0);
          const next = sorted.find((other) => other.buffer === block.buffer && other.begin > block.begin);
          expect(next === undefined || next.begin >= block.end).toBe(true);
        }
      }
      for (const block of held) arena.give(block);
      expect(arena.usedBytes).toBe(0);
    }),
    { numRuns: 50 },
  );
});

it('uses again what was given back: the same work takes no more memory', () => {
  const arena = new Arena();
  const work = () => {
    const blocks = [3000, 10, 500, 7000, 64].map((kilobytes) => arena.take(kilobytes * KB));
    const places = blocks.map(({ buffer, begin }) => ({ buffer, begin }));
    for (const block of [blocks[3], blocks[0], blocks[4], blocks[1], blocks[2]]) arena.give(block);
    return places;
  };
  expect(work()).toEqual(work());
});

it('has blocks larger than its slabs', () => {
  const arena = new Arena();
  const { buffer, begin, end } = arena.take(100 << 20);
  const values = new Float32Array(buffer, begin, (end - begin) / 4);
  values.fill(1);
  expect(values.at(-1)).toBe(1);
});
