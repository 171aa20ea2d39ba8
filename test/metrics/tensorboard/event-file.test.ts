import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EventFile } from '../../../src/metrics/tensorboard/event-file.js';
import { readEvents } from './event-decoder.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'locmoe-tensorboard-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function fileIn(directory: string): string {
  return path.join(directory, readdirSync(directory)[0]);
}

describe('an event file', () => {
  it('can be read after every event, and holds them bit by bit', () => {
    const file = new EventFile(folder, 1_700_000_000_123);
    const read = () => readEvents(fileIn(folder));
    expect(path.basename(fileIn(folder))).toMatch(/^events\.out\.tfevents\.1700000000\..+/);
    expect(read()).toEqual([
      { wallTime: 1_700_000_000.123, step: 0, version: 'brain.Event:2', scalars: {}, session: null },
    ]);
    file.append({ kind: 'start', timeMs: 1_700_000_001_000, step: 41 });
    // A step beyond 32 bits, a long tag, and numbers that are exact in float32 and not.
    const scalars = {
      'train/loss': 2.5,
      [`x${'y'.repeat(300)}`]: -0.1,
      nan: Number.NaN,
      inf: Number.POSITIVE_INFINITY,
    };
    file.append({ kind: 'scalars', timeMs: 1_700_000_002_000, step: 2 ** 40 + 5, scalars });
    const [, start, last] = read();
    expect(start).toMatchObject({ step: 41, session: 1, wallTime: 1_700_000_001 });
    expect(last.step).toBe(2 ** 40 + 5);
    expect(last.scalars).toEqual({ ...scalars, [`x${'y'.repeat(300)}`]: Math.fround(-0.1) });
    file.close();
    expect(() => file.append({ kind: 'version', timeMs: 1, step: 1 })).toThrow(/EBADF/);
    expect(() => new EventFile(folder, 1_700_000_000_123)).toThrow(/EEXIST/);
  });

  it("is made as TensorFlow's own writer makes it", () => {
    const theirs = path.join(folder, 'theirs');
    const writer = tf.node.summaryFileWriter(theirs);
    const ours = new EventFile(path.join(folder, 'ours'));
    for (let step = 1; step <= 3; step++) {
      writer.scalar('train/loss', 10 / step, step);
      ours.append({
        kind: 'scalars',
        timeMs: Date.now(),
        step,
        scalars: { 'train/loss': 10 / step },
      });
    }
    writer.flush();
    const expected = readEvents(fileIn(theirs));
    const read = readEvents(fileIn(path.join(folder, 'ours')));
    const times = expected.map(({ wallTime }) => ({ wallTime }));
    expect(read.map((event, i) => ({ ...event, ...times[i] }))).toEqual(expected);
    expect(expected[0].version).toBe('brain.Event:2');
    for (const [i, { wallTime }] of expected.entries())
      expect(Math.abs(wallTime - read[i].wallTime)).toBeLessThan(30);
  });

  it('would not be read with a bit that flipped', () => {
    const file = new EventFile(folder);
    const bytes = readFileSync(fileIn(folder));
    for (let bit = 0; bit < 8 * bytes.length; bit += 5) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3] ^= 1 << (bit & 7);
      writeFileSync(path.join(folder, 'flipped'), flipped);
      expect(() => readEvents(path.join(folder, 'flipped'))).toThrow();
    }
    file.close();
  });
});
