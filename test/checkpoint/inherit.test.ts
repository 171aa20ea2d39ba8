import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, test } from 'vitest';
import { type Checkpoint, openCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { saveCheckpoint } from '../../src/checkpoint/checkpointer.js';
import { assertInheritable } from '../../src/checkpoint/fits.js';
import { inheritedValues } from '../../src/checkpoint/inherit.js';
import type { RunConfig } from '../../src/config/schema.js';
import { expertSpecs } from '../../src/model/experts.js';
import { denseBlockSpecs } from '../../src/model/transformer-block.js';
import { config, saveOptions } from './fixture.js';

const size = { dModel: 8, dFeedForward: 16, numLayers: 2 };
const noNoise = { noise: 0, seed: 1 };
const denseModel = { ...config.model, numDenseLayers: 2, numSparseLayers: 0 };
let root: string;
let dense: Checkpoint;

function save(name: string, model: RunConfig['model']): Checkpoint {
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
  const tensors = { shared, optimizerShared: [], state: [], experts: [], optimizerExperts: [] };
  const options = { ...saveOptions(join(root, name), 1, tensors), config: { ...config, model } };
  return openCheckpoint(saveCheckpoint(options));
}

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'locmoe-inherit-'));
  dense = save('dense', denseModel);
});
afterAll(() => rmSync(root, { recursive: true }));

test('every parameter of a dense layer is a copy, whatever the noise', () => {
  for (const spec of denseBlockSpecs('layers.0', size))
    expect(inheritedValues(dense, spec, { noise: 1, seed: 1 })).toEqual(dense.read(spec.name));
});

test("every expert is a copy of its own layer's feed-forward", () => {
  for (const spec of expertSpecs('layers.1.experts', [0, 11], size)) {
    const matrix = spec.name.split('.').at(-1);
    expect(inheritedValues(dense, spec, noNoise)).toEqual(dense.read(`layers.1.ffn.${matrix}`));
  }
});

test('noise makes experts differ, is a share of the matrix, and is the same on every run', () => {
  const [spec0, , spec1] = expertSpecs('layers.1.experts', [0, 1], size);
  const noise = { noise: 0.01, seed: 3 };
  const expert0 = inheritedValues(dense, spec0, noise)!;
  expect(inheritedValues(dense, spec0, noise)).toEqual(expert0);
  expect(inheritedValues(dense, spec0, { ...noise, seed: 4 })).not.toEqual(expert0);
  expect(inheritedValues(dense, spec1, noise)).not.toEqual(expert0);
  const source = dense.read('layers.1.ffn.w_in');
  const meanSquare = (values: ArrayLike<number>) =>
    Array.from(values).reduce((sum, value) => sum + value ** 2, 0) / values.length;
  const added = expert0.map((value, i) => value - source[i]);
  const share = Math.sqrt(meanSquare(added) / meanSquare(source));
  expect(share).toBeGreaterThan(0.007);
  expect(share).toBeLessThan(0.013);
});

test('a router has nothing to inherit; another shape and a missing tensor are refused', () => {
  expect(inheritedValues(dense, { name: 'layers.1.router.w_gate', shape: [8, 4] }, noNoise)).toBeNull();
  expect(() => inheritedValues(dense, { name: 'layers.1.experts.0.w_in', shape: [8, 32] }, noNoise)).toThrow(
    'layers.1.ffn.w_in has shape [8,16], expected [8,32]',
  );
  expect(() => inheritedValues(dense, { name: 'layers.2.experts.0.w_in', shape: [8, 16] }, noNoise)).toThrow(
    'has no tensor layers.2.ffn.w_in',
  );
});

it.each([
  [{}, null],
  [{ dFeedForward: 32 }, /: model\.dFeedForward is 16 there and 32 in this run$/],
  [{ numDenseLayers: 2 }, /: the number of layers \(.*\) is 2 there and 3 in this run$/],
  [
    { dModel: 16, queryLayer: false },
    /: model\.dModel is 8 there and 16 in this run; model\.queryLayer is true there and false in this run$/,
  ],
  [
    { numDenseLayers: 2, numSparseLayers: 0 },
    /model\.numSparseLayers is 0 in this run.*; give a configuration/,
  ],
])('a run whose model has %j can grow from the dense one, or says why not', (model, refusal) => {
  const { tokenizerSha256 } = dense.manifest;
  const check = () => assertInheritable(dense, { model: { ...config.model, ...model } }, tokenizerSha256);
  if (refusal === null) expect(check).not.toThrow();
  else expect(check).toThrow(refusal);
});

it('another tokenizer, and a checkpoint that is not dense, are refused', () => {
  expect(() => assertInheritable(dense, config, 'f'.repeat(64))).toThrow(
    /tokenizer SHA-256 is \w+ there and f+/,
  );
  const sparse = save('sparse', config.model);
  expect(() => assertInheritable(sparse, config, sparse.manifest.tokenizerSha256)).toThrow(
    /has 1 sparse layer \(model\.numSparseLayers\), and a model grows from a dense one; --init takes/,
  );
});
