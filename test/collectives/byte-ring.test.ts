import { describe, expect, it } from 'vitest';
import { ByteRing, RING_CONTROL_WORDS } from '../../src/collectives/byte-ring.js';

function ringAt(position: number, size = 64): ByteRing {
  const words = new Int32Array(RING_CONTROL_WORDS);
  words[0] = position | 0;
  words[16] = position | 0;
  return new ByteRing(words, new Uint8Array(size + 16), 0, 8, size);
}

describe('byte ring', () => {
  it.each([0, 40, 2 ** 31 - 100, 2 ** 32 - 100])('is a queue, from position %d on', (start) => {
    const ring = ringAt(start);
    const queue: number[] = [];
    let next = 0;
    for (let i = 0; i < 2000; i++) {
      const source = Uint8Array.from({ length: (i * 7) % 90 }, () => next++ & 0xff);
      const from = i % 3;
      const written = ring.write(source, Math.min(from, source.length));
      expect(written).toBe(Math.min(64 - queue.length, Math.max(0, source.length - from)));
      queue.push(...source.subarray(from, from + written));
      expect(ring.readable).toBe(queue.length);
      const target = new Uint8Array((i * 5) % 70);
      const read = ring.read(target, 0);
      expect([...target.subarray(0, read)]).toEqual(queue.splice(0, target.length));
    }
    expect(ring.head).toBeLessThan(2 ** 32);
  });

  it('asks for data once and for space only when a quarter is free', () => {
    const ring = ringAt(0);
    expect(ring.takeWantsData()).toBe(false);
    ring.setWantsData(true);
    expect([ring.takeWantsData(), ring.takeWantsData()]).toEqual([true, false]);
    ring.write(new Uint8Array(64), 0);
    ring.setWantsSpace(true);
    ring.read(new Uint8Array(15), 0);
    expect(ring.takeWantsSpace()).toBe(false);
    ring.read(new Uint8Array(1), 0);
    expect([ring.takeWantsSpace(), ring.takeWantsSpace()]).toEqual([true, false]);
  });
});
