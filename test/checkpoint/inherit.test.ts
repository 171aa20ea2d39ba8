import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Checkpoint, openCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { saveCheckpoint } from '../../src/checkpoint/checkpointer.js';
import { inheritedValues } from '../../src/checkpoint/inherit.js';
import { expertSpecs } from '../../src/model/experts.js';
import { denseBlockSpecs } from '../../src/model/transformer-block.js';
import { saveOptions } from './fixture.js';

const size = { dModel: 8, dFeedForward: 16, numLayers: 2 };
const noNoise = { noiseStd: 0, seed: 1 };
let root: string;
let dense: Checkpoint;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'locmoe-inherit-'));
  const shared = [0, 1].flatMap((layer) =>
    denseBlockSpecs(`layers.${layer}`, size).map(({ name, shape }, k) => ({
      name,
      shape,
      data: Float32Array.from(
        { length: shape.reduce((a, b) => a * b, 1) },
        (_, i) => layer * 100 + k + Math.sin(i),
      ),
    })),
  );
  const none = { optimizerShared: [], state: [], experts: [], optimizerExperts: [] };
  dense = openCheckpoint(saveCheckpoint(saveOptions(join(root, 'c'), 1, { shared, ...none })));
});
afterAll(() => rmSync(root, { recursive: true }));

test('every parameter of a dense layer is a copy', () => {
  for (const spec of denseBlockSpecs('layers.0', size))
    expect(inheritedValues(dense, spec, noNoise)).toEqual(dense.read(spec.name));
});

test("every expert is a copy of its own layer's feed-forward", () => {
  for (const spec of expertSpecs('layers.1.experts', [0, 11], size)) {
    const matrix = spec.name.split('.').at(-1);
    expect(inheritedValues(dense, spec, noNoise)).toEqual(dense.read(`layers.1.ffn.${matrix}`));
  }
});

test('noise makes experts differ, has the size asked for and is the same on every run', () => {
  const [spec0, , spec1] = expertSpecs('layers.1.experts', [0, 1], size);
  const noise = { noiseStd: 0.01, seed: 3 };
  const expert0 = inheritedValues(dense, spec0, noise)!;
  expect(inheritedValues(dense, spec0, noise)).toEqual(expert0);
  expect(inheritedValues(dense, spec1, noise)).not.toEqual(expert0);
  const source = dense.read('layers.1.ffn.w_in');
  const variance = expert0.reduce((sum, value, i) => sum + (value - source[i]) ** 2, 0) / source.length;
  expect(Math.sqrt(variance)).toBeGreaterThan(0.007);
  expect(Math.sqrt(variance)).toBeLessThan(0.013);
});

test('a router has nothing to inherit, and another shape is refused', () => {
  expect(inheritedValues(dense, { name: 'layers.1.router.w_gate', shape: [8, 4] }, noNoise)).toBeNull();
  expect(() => inheritedValues(dense, { name: 'layers.1.experts.0.w_in', shape: [8, 32] }, noNoise)).toThrow(
    'layers.1.ffn.w_in has shape [8,16], expected [8,32]',
  );
});
