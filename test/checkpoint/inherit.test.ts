import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, test } from 'vitest';
import { type Checkpoint, openCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { saveCheckpoint } from '../../src/checkpoint/checkpointer.js';
import { assertInheritable } from '../../src/checkpoint/fits.js';
import { inheritedValues } from '../../src/checkpoint/inherit.js';
import type { RunConfig } from '../../src/config/schema.js';
import { modelSpecs } from '../../src/model/specs.js';
import { config, saveOptions } from './fixture.js';

const noNoise = { noise: 0, seed: 1 };
const inherited = (
  spec: Parameters<typeof inheritedValues>[1],
  inheritance: Parameters<typeof inheritedValues>[2],
  sharedWidth = 0,
) => inheritedValues(dense, spec, inheritance, sharedWidth);
const denseModel = { ...config.model, numDenseLayers: 2, numSparseLayers: 0 };
/** Specs of a dense layer of the dense model. */
const denseSpecs = (layer: number) =>
  modelSpecs({ ...config, model: denseModel }, []).filter(({ name }) => name.startsWith(`layers.${layer}.`));
/** Specs of these experts of the sparse layer, and of its shared ones. */
const expertSpecs = (ids: readonly number[], moe: Partial<RunConfig['moe']> = {}) =>
  modelSpecs({ ...config, moe: { ...config.moe, ...moe } }, [ids]).filter(({ name }) =>
    /\.(shared|experts)\./.test(name),
  );
let root: string;
let dense: Checkpoint;

function save(name: string, model: RunConfig['model']): Checkpoint {
  const shared = [0, 1].flatMap((layer) =>
    denseSpecs(layer).map(({ name, shape }, k) => ({
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
  for (const spec of denseSpecs(0))
    expect(inherited(spec, { noise: 1, seed: 1 })).toEqual(dense.read(spec.name));
});

test("every expert is a copy of its own layer's feed-forward", () => {
  for (const spec of expertSpecs([0, 11])) {
    const matrix = spec.name.split('.').at(-1);
    expect(inherited(spec, noNoise)).toEqual(dense.read(`layers.1.ffn.${matrix}`));
  }
});

test('noise makes experts differ, is a share of the matrix, and is the same on every run', () => {
  const [spec0, , spec1] = expertSpecs([0, 1]);
  const noise = { noise: 0.01, seed: 3 };
  const expert0 = inherited(spec0, noise)!;
  expect(inherited(spec0, noise)).toEqual(expert0);
  expect(inherited(spec0, { ...noise, seed: 4 })).not.toEqual(expert0);
  expect(inherited(spec1, noise)).not.toEqual(expert0);
  const source = dense.read('layers.1.ffn.w_in');
  const meanSquare = (values: ArrayLike<number>) =>
    Array.from(values).reduce((sum, value) => sum + value ** 2, 0) / values.length;
  const added = expert0.map((value, i) => value - source[i]);
  const share = Math.sqrt(meanSquare(added) / meanSquare(source));
  expect(share).toBeGreaterThan(0.007);
  expect(share).toBeLessThan(0.013);
});

test('a router has nothing to inherit; another shape and a missing tensor are refused', () => {
  expect(inherited({ name: 'layers.1.router.w_gate', shape: [8, 4] }, noNoise)).toBeNull();
  expect(() => inherited({ name: 'layers.1.experts.0.w_in', shape: [4, 16] }, noNoise)).toThrow(
    'layers.1.ffn.w_in has shape [8,16], expected [4,16]',
  );
  expect(() => inherited({ name: 'layers.2.experts.0.w_in', shape: [8, 16] }, noNoise)).toThrow(
    'has no tensor layers.2.ffn.w_in',
  );
});

test('shared experts take the first hidden units, routed ones slices of the others in turn: together they are the dense network', () => {
  const specs = expertSpecs([0, 1, 2, 3, 7], { dFeedForward: 4, sharedExperts: 1 });
  const outputs = pairsOf(specs.map((spec) => inherited(spec, noNoise, 4)!)).map(([wIn, wOut]) =>
    slowFeedForward(wIn, wOut),
  );
  const [shared, first, second, third, fourth, eighth] = outputs as [number[], ...number[][]];
  expect([fourth, eighth]).toEqual([first, second]);
  const whole = slowFeedForward(dense.read('layers.1.ffn.w_in'), dense.read('layers.1.ffn.w_out'));
  whole.forEach((y, i) => {
    expect(shared[i] + first[i] + second[i] + third[i]).toBeCloseTo(y, 3);
  });
  // Noise is there to make routed experts differ, so shared experts get none.
  const [spec] = specs;
  expect(inherited(spec, { noise: 1, seed: 1 }, 4)).toEqual(inherited(spec, noNoise, 4));
});

function pairsOf(matrices: readonly Float32Array[]): [wIn: Float32Array, wOut: Float32Array][] {
  return Array.from({ length: matrices.length / 2 }, (_, i) => [matrices[2 * i], matrices[2 * i + 1]]);
}

/** W_out GELU(W_in x) of one x, [d]. */
function slowFeedForward(wIn: Float32Array, wOut: Float32Array): number[] {
  const width = wIn.length / 8;
  const y = new Array<number>(8).fill(0);
  for (let j = 0; j < width; j++) {
    let z = 0;
    for (let i = 0; i < 8; i++) z += Math.cos(i) * 0.01 * wIn[i * width + j];
    const hidden = 0.5 * z * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (z + 0.044715 * z ** 3)));
    for (let i = 0; i < 8; i++) y[i] += hidden * wOut[j * 8 + i];
  }
  return y;
}

it.each([
  [
    { dFeedForward: 5 },
    'moe.dFeedForward 5 does not divide model.dFeedForward 16: experts take equal slices',
  ],
  [{ sharedExperts: 1 }, 'moe.sharedExperts: 1 of width 16 take all 16 hidden units of a dense feed-forward'],
  [{ dFeedForward: 4, sharedExperts: 4 }, 'moe.sharedExperts: 4 of width 4 take all 16 hidden units'],
  [{ dFeedForward: 4, sharedExperts: 3 }, null],
  [{ dFeedForward: 4, sharedExperts: 3, sharedExpertGate: true }, 'moe.sharedExpertGate: an untrained gate'],
])('hidden units that cannot be shared out are refused: %j', (moe, refusal) => {
  const check = () => assertInheritable(dense, { ...config, moe: { ...config.moe, ...moe } });
  if (refusal === null) expect(check).not.toThrow();
  else expect(check).toThrow(`--inherit: ${refusal}`);
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
  const check = () =>
    assertInheritable(dense, { ...config, model: { ...config.model, ...model } }, tokenizerSha256);
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
