import { describe, expect, it } from 'vitest';
import { TrainerError } from '../../src/errors.js';
import type { Frame } from '../../src/rpc/generated/messages.js';
import { loadProto } from '../../src/rpc/load-proto.js';
import { randomOf } from '../random.js';
import { decodeFrame, encodeFrame } from './whole-frame.js';

const { Pull } = loadProto('collectives', 'locmoe.collectives.v1.Collectives');

function randomFrame(random: () => number): Frame {
  // Encoded numbers of every length should occur, not only the longest.
  const anyUint32 = () => Math.floor(random() * 2 ** (1 + Math.floor(random() * 32)));
  const sections: number[] = [];
  let total = 0;
  for (let i = Math.floor(random() * 6); i > 0; i--) {
    const length = Math.floor(random() * 300);
    sections.push(anyUint32(), anyUint32(), anyUint32(), length);
    total += length;
  }
  const payload = Buffer.from(Array.from({ length: total }, () => Math.floor(random() * 256)));
  return { generation: anyUint32(), operation: anyUint32(), sections, payload };
}

describe('frame codec', () => {
  it('makes the bytes that protobufjs makes, and reads them back', () => {
    const random = randomOf(7);
    for (let i = 0; i < 300; i++) {
      const frame = randomFrame(random);
      const reference = Pull.responseSerialize({ ...frame, payload: Buffer.from(frame.payload) });
      const encoded = encodeFrame(frame);
      expect(encoded.equals(reference)).toBe(true);
      expect(decodeFrame(reference)).toEqual({ ...frame, payload: Buffer.from(frame.payload) });
      const decoded = Pull.responseDeserialize(encoded);
      expect(decoded).toMatchObject({ generation: frame.generation, sections: frame.sections });
      expect(Buffer.from(frame.payload).equals(decoded.payload)).toBe(true);
    }
  });

  it('takes a payload of 1 MiB and 32-bit extremes', () => {
    const payload = Buffer.alloc(1 << 20, 7);
    const max = 2 ** 32 - 1;
    const frame = { generation: max, operation: max, sections: [max, 0, max, 1 << 20], payload };
    expect(encodeFrame(frame).equals(Pull.responseSerialize(frame))).toBe(true);
    const decoded = decodeFrame(encodeFrame(frame));
    expect({ ...decoded, payload: null }).toEqual({ ...frame, payload: null });
    expect(payload.equals(decoded.payload)).toBe(true);
  });

  it('skips fields that a later version may add', () => {
    const frame = { generation: 3, operation: 4, sections: [0, 1, 0, 2], payload: Buffer.from([8, 9]) };
    const added = [
      [0x28, 0x96, 0x01],
      [0x32, 0x02, 1, 2],
      [0x3d, 1, 2, 3, 4],
      [0x41, 1, 2, 3, 4, 5, 6, 7, 8],
    ];
    expect(decodeFrame(Buffer.concat([Buffer.from(added.flat()), encodeFrame(frame)]))).toEqual(frame);
  });

  it('refuses damaged frames with a TrainerError, never anything else', () => {
    const random = randomOf(11);
    let refused = 0;
    for (let i = 0; i < 1000; i++) {
      const encoded = encodeFrame(randomFrame(random));
      const damaged = Buffer.from(encoded.subarray(0, Math.ceil(random() * encoded.length)));
      for (let flips = 0; flips < 3; flips++) damaged[Math.floor(random() * damaged.length)] ^= 1 << (i % 8);
      try {
        decodeFrame(damaged);
      } catch (error) {
        expect(error).toBeInstanceOf(TrainerError);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(800);
    const mismatch = { generation: 1, operation: 1, sections: [0, 1, 0, 5], payload: Buffer.alloc(4) };
    expect(() => decodeFrame(encodeFrame(mismatch))).toThrow(/sections of 5 bytes and a payload of 4/);
  });
});
