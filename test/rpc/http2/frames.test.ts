import { describe, expect, it } from 'vitest';
import { encodeFrame, FLAG, FRAME, FrameCutter, type FrameHeader } from '../../../src/rpc/http2/frames.js';
import { NIGHTLY } from '../../nightly.js';
import { randomOf } from '../../random.js';

const MOST = 1 << 14;
const SEEDS = NIGHTLY ? 200 : 40;

interface Seen {
  readonly taken: Buffer;
  readonly others: readonly Buffer[];
  readonly ended: readonly FrameHeader[];
}

/** Cuts chunks of bytes into frames and collects the DATA of stream 1, at random through the direct path. */
function cutIn(chunks: readonly Buffer[], random: () => number = () => 1): Seen {
  const taken: Buffer[] = [];
  const others: Buffer[] = [];
  const ended: FrameHeader[] = [];
  const cutter = new FrameCutter(
    {
      begin: ({ type, stream }) => type === FRAME.data && stream === 1,
      payload: (bytes) => taken.push(Buffer.from(bytes)),
      other: (_, encoded) => others.push(Buffer.from(encoded)),
      end: (header) => ended.push(header),
    },
    MOST,
  );
  for (const chunk of chunks)
    for (let at = 0; at < chunk.length; ) {
      const direct = Math.min(cutter.directBytes, chunk.length - at);
      if (direct > 0 && random() < 0.5) {
        taken.push(chunk.subarray(at, at + direct));
        cutter.skip(direct);
        at += direct;
        continue;
      }
      const count = Math.min(chunk.length - at, 1 + Math.floor(random() * 40));
      cutter.push(chunk.subarray(at, at + count));
      at += count;
    }
  return { taken: Buffer.concat(taken), others, ended };
}

describe('frames of a connection', () => {
  it(`are cut alike wherever chunks end, with padding, empty ones and ones of unknown types, for ${SEEDS} of ${SEEDS} seeds`, () => {
    for (let seed = 0; seed < SEEDS; seed++) {
      const random = randomOf(seed);
      const bytes = (count: number) =>
        Buffer.from(Array.from({ length: count }, () => Math.floor(random() * 256)));
      const payloads: Buffer[] = [];
      const others: Buffer[] = [];
      let ends = 0;
      const frames = Array.from({ length: 30 }, () => {
        const isData = random() < 0.5;
        const payload = bytes(Math.floor(random() ** 3 * 300));
        if (!isData) {
          const other = encodeFrame(
            {
              type: [0, 1, 4, 6, 7, 8, 9, 0xfa][Math.floor(random() * 8)]!,
              flags: Math.floor(random() * 256),
              stream: 3,
            },
            payload,
          );
          others.push(other);
          return other;
        }
        payloads.push(payload);
        ends++;
        if (random() < 0.5) return encodeFrame({ type: FRAME.data, flags: 0, stream: 1 }, payload);
        const padding = Math.floor(random() * 256);
        const padded = Buffer.concat([Buffer.from([padding]), payload, Buffer.alloc(padding)]);
        return encodeFrame({ type: FRAME.data, flags: FLAG.padded, stream: 1 }, padded);
      });
      const all = Buffer.concat(frames);
      const chunks: Buffer[] = [];
      for (let at = 0; at < all.length; ) {
        const count = 1 + Math.floor(random() ** 4 * 500);
        chunks.push(all.subarray(at, at + count));
        at += count;
      }
      const seen = cutIn(chunks, random);
      expect(seen.taken.equals(Buffer.concat(payloads))).toBe(true);
      expect(seen.others.map((each) => each.toString('hex'))).toEqual(
        others.map((each) => each.toString('hex')),
      );
      expect(seen.ended).toHaveLength(ends);
    }
  });

  it.each([
    [
      'more padding than bytes',
      encodeFrame({ type: 0, flags: FLAG.padded, stream: 1 }, Buffer.from([3, 1, 1])),
    ],
    ['no length of its padding', encodeFrame({ type: 0, flags: FLAG.padded, stream: 1 }, Buffer.alloc(0))],
    ['more bytes than a frame may', encodeFrame({ type: 1, flags: 0, stream: 1 }, Buffer.alloc(MOST + 1))],
  ])('with %s are refused', (_, encoded) => {
    expect(() => cutIn([encoded])).toThrow(/frame/);
  });

  it(`are never taken beyond their payload, whatever bytes come, for ${10 * SEEDS} of ${10 * SEEDS} seeds`, () => {
    for (let seed = 0; seed < 10 * SEEDS; seed++) {
      const random = randomOf(seed);
      const bytes = Buffer.from(Array.from({ length: 400 }, () => Math.floor(random() ** 4 * 256)));
      try {
        const { taken, others } = cutIn([bytes], random);
        expect(taken.length + others.reduce((sum, { length }) => sum + length, 0)).toBeLessThanOrEqual(
          bytes.length,
        );
      } catch (error) {
        expect((error as Error).message).toMatch(/^a (padded )?frame/);
      }
    }
  });
});
