import { describe, expect, it } from 'vitest';
import { CHUNK_BYTES, PieceClock, streamChunk } from '../../src/collectives/stream-bytes.js';

describe('the clock of a stream', () => {
  it('takes the time of each piece after those that warm up', () => {
    let calls = 0;
    const clock = new PieceClock(2 * CHUNK_BYTES, 1, 2, () => {
      calls++;
    });
    for (let i = 0; i < 5; i++) clock.take(streamChunk());
    expect([clock.ms.length, calls]).toEqual([1, 0]);
    for (let i = 0; i < 5; i++) clock.take(streamChunk());
    expect([clock.ms.length, calls]).toEqual([2, 1]);
  });

  it('refuses wrong bytes, wherever the stream was cut', () => {
    const clock = new PieceClock(CHUNK_BYTES, 1, 1, () => undefined);
    const chunk = streamChunk();
    clock.take(chunk.subarray(0, 1000));
    clock.take(chunk.subarray(1000, 5000));
    expect(() => clock.take(chunk.subarray(5001, 6000))).toThrow('the stream is wrong at byte 5000');
  });
});
