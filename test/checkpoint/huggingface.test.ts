import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runPython } from '../../packages/export/test/python.js';
import { pythonWith } from '../../scripts/python-oracles.mjs';
import { openCheckpoint, resolveCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { assertFits, assertInheritable } from '../../src/checkpoint/fits.js';
import { fromFloat16 } from '../../src/checkpoint/huggingface/half-floats.js';
import { readPublishedConfig } from '../../src/checkpoint/huggingface/published-config.js';
import { isTrainedHere } from '../../src/cli/eval/loss.js';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { resolveConfig } from '../../src/config/resolve.js';
import type { RunConfig } from '../../src/config/schema.js';
import { tokenizerJson, trainBpe } from '../../src/data/tokenizer/bpe-trainer.js';
import { LanguageModel } from '../../src/model/language-model.js';
import { inheritModel, loadModel } from '../../src/worker/state.js';
import { skipLoudly } from '../debian-tool.js';
import { runCommand } from '../run-command.js';
import { FOLDERS, LLAMA, MIXTRAL, QWEN2_MOE, VOCABULARY } from './published-folders.js';

const ORACLE = readFileSync(
  path.join(import.meta.dirname, '../../packages/export/test/oracles/published_logits.py'),
  'utf8',
);
const TOKENIZER = tokenizerJson(trainBpe(['the state of the art of the state'], 260));
const IDS = [[0, 5, 17, 255, 258, 30, 30, 3, 200, 101, 7, 64]];

const root = mkdtempSync(path.join(tmpdir(), 'locmoe-from-huggingface-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const python = pythonWith(['torch', 'safetensors']);
const place = (name: string) => path.join(root, name);

function write(name: string, config: object): string {
  mkdirSync(place(name), { recursive: true });
  writeFileSync(path.join(place(name), 'config.json'), JSON.stringify(config));
  writeFileSync(path.join(place(name), 'tokenizer.json'), TOKENIZER);
  writeFileSync(path.join(place(name), 'ids.json'), JSON.stringify(IDS));
  return place(name);
}

beforeAll(() => {
  if (python === null) return;
  const wanted = Object.entries(FOLDERS).flatMap(([name, [config, type, numFiles]]) => [
    write(name, config),
    type,
    String(numFiles),
  ]);
  expect(runPython(python, ORACLE, 'make', ...wanted)).toBe('made\n'.repeat(wanted.length / 3));
});

function needsPython(skip: (note: string) => never): void {
  if (python === null)
    skipLoudly(
      skip,
      'no Python with torch and safetensors; as root on Debian: node scripts/python-oracles.mjs',
    );
}

/** Greatest difference between the logits of a model and those of an independent implementation. */
function differenceOf(model: LanguageModel, name: string): number {
  const expected = new Float32Array(Uint8Array.from(readFileSync(path.join(place(name), 'logits'))).buffer);
  const [ids] = IDS;
  const differences = ids!.flatMap((_, i) =>
    [...model.logits(Int32Array.from(ids!.slice(0, i + 1)), 0)].map((logit, v) =>
      Math.abs(logit - expected[i * VOCABULARY + v]!),
    ),
  );
  return Math.max(...differences);
}

function loaded(name: string): LanguageModel {
  const checkpoint = openCheckpoint(place(name));
  const model = new LanguageModel(checkpoint.manifest.config, soloTransport());
  loadModel(model, checkpoint);
  return model;
}

it.each(Object.keys(FOLDERS))('%s: logits are those of a program of another hand', (name) => {
  if (python === null) return;
  expect(differenceOf(loaded(name), name)).toBeLessThan(1e-4);
});

it('half floats are what IEEE 754 says, the smallest and the greatest too', () => {
  const bits = Uint16Array.of(0x0001, 0x83ff, 0x0400, 0x3c01, 0xc000, 0x7bff, 0x7c00, 0xfc00);
  const values = [2 ** -24, -1023 * 2 ** -24, 2 ** -14, 1 + 2 ** -10, -2, 65_504, Infinity, -Infinity];
  expect([...fromFloat16(bits)]).toEqual(values);
  expect(fromFloat16(Uint16Array.of(0x7c01))[0]).toBeNaN();
});

describe('the model of a folder', () => {
  it.each([
    ['LlamaForCausalLM', 10_000, 1e-6, null, false],
    ['Qwen2ForCausalLM', 10_000, 1e-6, null, true],
    ['Qwen3ForCausalLM', 10_000, 1e-6, 128, false],
    ['MixtralForCausalLM', 1_000_000, 1e-5, null, false],
    ['Qwen2MoeForCausalLM', 10_000, 1e-6, null, true],
    ['Qwen3MoeForCausalLM', 10_000, 1e-6, null, false],
  ])('of class %s has the defaults of the class', (name, ropeTheta, normEpsilon, headDim, attentionBias) => {
    const omitted = { rope_theta: undefined, rms_norm_eps: undefined };
    const fields = { ...QWEN2_MOE, ...MIXTRAL, ...omitted, architectures: [name] };
    expect(readPublishedConfig(write('defaults', fields)).config.model).toMatchObject({
      ropeTheta,
      normEpsilon,
      headDim: headDim ?? fields.hidden_size / fields.num_attention_heads,
      attentionBias,
      qkNorm: name.includes('Qwen3'),
    });
  });

  it('is its configuration', ({ skip }) => {
    needsPython(skip);
    const { config } = openCheckpoint(place('qwen2_moe')).manifest;
    expect(config.model).toMatchObject({
      numDenseLayers: 1,
      numSparseLayers: 1,
      seqLen: 16,
      ropeTheta: 1000,
    });
    expect(config.moe).toMatchObject({
      expertsPerToken: 3,
      renormalize: false,
      dFeedForward: 20,
      sharedExperts: 2,
      sharedExpertGate: true,
    });
  });

  it('is that of a run with the same sizes, whatever the length of a sequence', ({ skip }) => {
    needsPython(skip);
    const checkpoint = openCheckpoint(place('llama'));
    const { config } = checkpoint.manifest;
    const with_ = (model: object): RunConfig => ({ ...config, model: { ...config.model, ...model } });
    assertFits(checkpoint, with_({ seqLen: 4 }), 'weights');
    expect(() => assertFits(checkpoint, with_({ normEpsilon: 1e-6 }), 'weights')).toThrow(
      'model.normEpsilon is 0.00001 there and 0.000001 in this run',
    );
  });

  it('is printed, and what is set beside it must fit', async ({ skip }) => {
    needsPython(skip);
    const shown = await runCommand('config', 'show', '--checkpoint', place('mixtral'), '--set', 'seed=5');
    expect(shown.stderr).toBe('');
    expect(resolveConfig(shown.stdout, 'shown.yaml').model).toEqual(
      openCheckpoint(place('mixtral')).manifest.config.model,
    );
    expect(shown.stdout).toContain('seed: 5');
  });

  it('is no training of ours, whose validations `eval` could tell of', ({ skip }) => {
    needsPython(skip);
    expect(isTrainedHere(openCheckpoint(place('mixtral')).manifest)).toBe(false);
  });
});

it('a mixture that grows from a dense folder has its logits at the beginning, where weights add up to 1', ({
  skip,
}) => {
  needsPython(skip);
  const dense = openCheckpoint(place('llama'));
  const grown = (sets: readonly string[]) => {
    const layers = ['model.numDenseLayers=0', 'model.numSparseLayers=2', 'model.seqLen=12'];
    const config = resolveConfig(JSON.stringify(dense.manifest.config), place('llama'), {
      sets: [...layers, ...sets],
    });
    assertInheritable(dense, config);
    const model = new LanguageModel(config, soloTransport());
    inheritModel(model, dense, { noise: 0, seed: 1 });
    return differenceOf(model, 'llama');
  };
  expect(grown([])).toBeLessThan(1e-4);
  expect(grown(['moe.router=locmoe-plus'])).toBeLessThan(1e-4);
  expect(grown(['moe.expertsPerToken=1'])).toBeGreaterThan(0.01);
});

it('a pipe as model.safetensors is refused at once', async () => {
  const file = path.join(write('piped', LLAMA), 'model.safetensors');
  execFileSync('mkfifo', [file]);
  const { code, stderr } = await runCommand('train', '--init', place('piped'));
  expect([code, stderr]).toEqual([2, `locmoe: ${file}: is no regular file but a pipe\n`]);
});

describe('what cannot be the same model is refused in a line that names it', () => {
  it.each<[string, object]>([
    ['architectures.0: GemmaForCausalLM is not supported, only ', { architectures: ['GemmaForCausalLM'] }],
    ['hidden_size: ', { hidden_size: undefined }],
    ['num_hidden_layers: Too big', { num_hidden_layers: 1e9 }],
    ['num_local_experts 50001 in 2 layers is not supported', { ...MIXTRAL, num_local_experts: 50_001 }],
    ['num_experts 1000000000 in 2 layers is not supported', { ...QWEN2_MOE, num_experts: 1e9 }],
    ['hidden_act gelu', { hidden_act: 'gelu' }],
    ['attention_bias true', { attention_bias: true }],
    ['mlp_bias true', { mlp_bias: true }],
    ['rope_scaling llama3 has no low_freq_factor', { rope_scaling: { rope_type: 'llama3', factor: 8 } }],
    ['rope_scaling linear has no factor', { rope_scaling: { type: 'linear' } }],
    ['rope_scaling yarn', { rope_parameters: { rope_type: 'yarn', rope_theta: 10 } }],
    ['partial_rotary_factor 0.5', { partial_rotary_factor: 0.5 }],
    ['quantization_config', { quantization_config: { quant_method: 'gptq' } }],
    ['layer_types sliding_attention', { layer_types: ['full_attention', 'sliding_attention'] }],
    ['sliding_window 8', { ...MIXTRAL, sliding_window: 8 }],
    ['num_experts_per_tok 1', { ...MIXTRAL, num_experts_per_tok: 1 }],
    ['num_local_experts is missing', { ...MIXTRAL, num_local_experts: undefined }],
    ['use_sliding_window true', { ...QWEN2_MOE, use_sliding_window: true }],
    ['norm_topk_prob true', { ...QWEN2_MOE, num_experts_per_tok: 1, norm_topk_prob: true }],
    ['dense layers are supported only below', { ...QWEN2_MOE, mlp_only_layers: [1] }],
  ])('%s', async (message, fields) => {
    const folder = write('refused', { ...LLAMA, ...fields });
    const { code, stderr } = await runCommand('train', '--init', folder);
    expect(stderr).toContain(`locmoe: ${path.join(folder, 'config.json')}: ${message}`);
    expect([code, stderr.split('\n').length]).toEqual([2, 2]);
  });

  it.each<[string, string, (folder: string) => void]>([
    [
      'model-00002-of-00003.safetensors is missing',
      'llama',
      (folder) => {
        unlinkSync(path.join(folder, 'model-00002-of-00003.safetensors'));
      },
    ],
    [
      'model-00001-of-00002.safetensors is damaged',
      'mixtral',
      (folder) => {
        const file = path.join(folder, 'model-00001-of-00002.safetensors');
        writeFileSync(file, readFileSync(file).subarray(0, -1));
      },
    ],
    [
      'has shape [270,32], its config.json says [271,32]',
      'llama',
      (folder) => {
        rewrite(folder, { ...LLAMA, vocab_size: VOCABULARY + 1 });
      },
    ],
    [
      'has no tensor model.layers.2.input_layernorm.weight',
      'llama',
      (folder) => {
        rewrite(folder, { ...LLAMA, num_hidden_layers: 3 });
      },
    ],
    [
      'no place for tensor model.layers.1.',
      'llama',
      (folder) => {
        rewrite(folder, { ...LLAMA, num_hidden_layers: 1 });
      },
    ],
    [
      '_proj.bias',
      'qwen2',
      (folder) => {
        rewrite(folder, LLAMA);
      },
    ],
    ['no tokenizer: ', 'llama', (folder) => unlinkSync(path.join(folder, 'tokenizer.json'))],
  ])('%s', async (message, name, spoil) => {
    if (python === null) return;
    const folder = place('spoilt');
    rmSync(folder, { recursive: true, force: true });
    cpSync(place(name), folder, { recursive: true });
    spoil(folder);
    const { code, stderr } = await runCommand('train', '--init', folder);
    expect(stderr).toContain(message);
    expect([code, stderr.split('\n').length]).toEqual([2, 2]);
  });

  it('a shared expert whose units are no whole number of experts', ({ skip }) => {
    needsPython(skip);
    const folder = write('odd-width', { ...QWEN2_MOE, shared_expert_intermediate_size: 30 });
    runPython(python!, ORACLE, 'make', folder, 'float32', '1');
    expect(() => resolveCheckpoint(folder, () => undefined)).toThrow(
      'model.layers.1.mlp.shared_expert_gate.weight is not all 0',
    );
  });

  it('a training without a text', async ({ skip }) => {
    needsPython(skip);
    const { code, stderr } = await runCommand('train', '--init', place('llama'));
    expect(stderr).toContain('is a HuggingFace folder, which has no text: say what to train on with --text');
    expect(code).toBe(2);
  });
});

function rewrite(folder: string, config: object): void {
  writeFileSync(path.join(folder, 'config.json'), JSON.stringify(config));
}
