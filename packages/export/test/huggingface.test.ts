import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Parameter } from 'locmoe/internal/architecture/architecture';
import type { Rule, Scores } from 'locmoe/internal/architecture/rule';
import { type Checkpoint, openCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { readSafetensorsHeader } from 'locmoe/internal/checkpoint/safetensors';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { openInference } from 'locmoe/internal/inference/inference';
import { describe as architectureOf } from 'locmoe/internal/model/describe';
import { ownRouterName, trustRouter } from 'locmoe/internal/routing/own/router-file';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pythonWith } from '../../../scripts/python-oracles.mjs';
import { reference } from '../../../test/architecture/reference.js';
import { skipLoudly } from '../../../test/debian-tool.js';
import { huggingface, writeModel } from '../src/huggingface/huggingface.js';
import { locmoeModel } from '../src/huggingface/locmoe.js';
import { writeTokenizer } from '../src/huggingface/tokenizer-files.js';
import { writeWeights } from '../src/huggingface/weights.js';
import { writeFolder } from '../src/output-folder.js';
import { writeSubModel } from '../src/sub-model.js';
import { runPython } from './python.js';
import { ownLogits, sequences, TRIED, TRIED_MIXTRAL, trainedCheckpoint } from './trained.js';

const DENSE = 'a dense model';
const TOP_2 = 'switch, top 2 of three';
const HASH = 'hash without experts for a part of the ids';
const IN_SHARDS = 'with its weights in several files';
const SHARD_BYTES = 40_000;

const root = mkdtempSync(path.join(tmpdir(), 'locmoe-huggingface-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const checkpoints = new Map<string, Checkpoint>();
/** Exported folders by variant, each with token ids and the logits of our model for them. */
const folders = new Map<string, string>();
beforeAll(async () => {
  for (const [i, variant] of [...TRIED, ...TRIED_MIXTRAL].entries()) {
    const checkpoint = trainedCheckpoint(mkdtempSync(path.join(root, 'model-')), variant);
    checkpoints.set(variant, checkpoint);
    await exportAs(variant, checkpoint, path.join(root, `export-${i}`));
  }
  for (const [i, router] of [HASH, 'locmoe-plus', 'moge'].entries()) {
    const part = path.join(root, `part-${i}`);
    await writeFolder(part, (output) => writeSubModel(checkpoints.get(router)!, output, 'code'));
    await exportAs(`a sub-model, ${router}`, openCheckpoint(part), path.join(root, `export-part-${i}`));
  }
  folders.set(IN_SHARDS, await inShards('locmoe-plus'));
});

async function exportAs(name: string, checkpoint: Checkpoint, folder: string): Promise<void> {
  await writeFolder(folder, (output) =>
    TRIED_MIXTRAL.includes(name)
      ? writeModel(checkpoint, locmoeModel(checkpoint), output, 'float32')
      : huggingface.write(checkpoint, output, 'float32'),
  );
  const inference = openInference(checkpoint);
  // A sub-model has the last domain alone.
  const idsBS = sequences(inference).slice(-inference.config.data.domains.length);
  writeExpected(folder, idsBS, (ids, domain) => ownLogits(inference, ids, domain));
  folders.set(name, folder);
}

function writeExpected(
  folder: string,
  idsBS: readonly Int32Array[],
  logitsOf: (ids: Int32Array, domain: number) => Float32Array[],
): void {
  writeFileSync(path.join(folder, 'ids.json'), JSON.stringify(idsBS.map((ids) => [...ids])));
  const rows = idsBS.flatMap((ids, domain) => logitsOf(ids, domain));
  writeFileSync(path.join(folder, 'logits'), Buffer.concat(rows.map((row) => Buffer.from(row.buffer))));
}

async function inShards(variant: string): Promise<string> {
  const whole = folders.get(variant)!;
  const folder = path.join(root, 'sharded');
  await writeFolder(folder, async (output) => {
    await writeWeights(output, locmoeModel(checkpoints.get(variant)!).tensors, SHARD_BYTES);
    for (const name of readdirSync(whole))
      if (name !== 'model.safetensors') await output.copy(path.join(whole, name), name);
  });
  return folder;
}

const pythonFiles = (folder: string) => readdirSync(folder).filter((name) => name.endsWith('.py'));
const jsonOf = (folder: string, file: string) => JSON.parse(readFileSync(path.join(folder, file), 'utf8'));

/** Returns what a program of oracles/ prints. */
function compare(program: string, skip: (note: string) => never, ...args: readonly string[]): string {
  const python =
    pythonWith(['torch', 'safetensors']) ??
    skipLoudly(
      skip,
      'no Python with torch and safetensors; as root on Debian: node scripts/python-oracles.mjs',
    );
  return runPython(python, readFileSync(path.join(import.meta.dirname, 'oracles', program), 'utf8'), ...args);
}

it('in PyTorch a model gives the logits that it gives here, whatever the router', ({ skip }) => {
  const withCode = [...folders].filter(([variant]) => variant !== DENSE).map(([, folder]) => folder);
  expect(compare('locmoe_logits.py', skip, ...withCode)).toBe('good\n'.repeat(withCode.length));
});

it('a folder with code of its own names it to transformers', () => {
  const folder = folders.get('locmoe-plus')!;
  expect(pythonFiles(folder)).toEqual(['configuration_locmoe.py', 'locmoe.py', 'modeling_locmoe.py']);
  expect(jsonOf(folder, 'config.json').auto_map).toEqual({
    AutoConfig: 'configuration_locmoe.LocmoeConfig',
    AutoModelForCausalLM: 'modeling_locmoe.LocmoeForCausalLM',
  });
});

function withMoe({ manifest, ...rest }: Checkpoint, fields: Partial<RunConfig['moe']>): Checkpoint {
  const { config } = manifest;
  return { ...rest, manifest: { ...manifest, config: { ...config, moe: { ...config.moe, ...fields } } } };
}

describe('a router of your own', () => {
  const gate: Scores = {
    op: 'divide',
    left: { op: 'cosine', weight: 'weight' },
    right: { op: 'exp', of: { op: 'parameter', parameter: 'heat' } },
  };
  const above = (value: number): Scores => ({
    op: 'relu',
    of: { op: 'subtract', left: gate, right: { op: 'number', value } },
  });
  const rule: Rule = {
    choose: { op: 'top', by: gate, count: 2, limit: null },
    keep: { scores: gate, threshold: 'least' },
    weigh: {
      by: { op: 'add', left: { op: 'tanh', of: above(0.1) }, right: { op: 'number', value: 1 } },
      share: true,
    },
    affinities: gate,
  };

  /** A model with a router by file, which has this method beside the others. */
  function ownRouter(name: string, method: string): Checkpoint {
    const file = path.join(root, name);
    writeFileSync(
      file,
      `export default {
        parameters: (moe, dModel) => [{ name: 'weight', shape: [dModel, moe.numExperts] }, { name: 'heat', shape: [1] }],
        ${method}
        price: () => { throw new Error('no price'); },
        create: () => { throw new Error('no router'); },
      };`,
    );
    const router = ownRouterName(file, root)!;
    trustRouter(router);
    const checkpoint = withMoe(checkpoints.get(TOP_2)!, { router });
    return {
      ...checkpoint,
      read(tensor, shape) {
        if (tensor.endsWith('.router.heat')) return Float32Array.of(-0.3);
        if (tensor.endsWith('.router.least')) return new Float32Array(shape![0]!).fill(0.15);
        return checkpoint.read(tensor, shape);
      },
    };
  }

  it('is given by its rule', async ({ skip }) => {
    const checkpoint = ownRouter('router.mjs', `rule: () => (${JSON.stringify(rule)}),`);
    const folder = path.join(root, 'own-router');
    await writeFolder(folder, (output) => huggingface.write(checkpoint, output, 'float32'));
    const read = ({ name, shape }: Parameter) => checkpoint.read(name, shape);
    const architecture = architectureOf(checkpoint.manifest.config);
    const refused: number[] = [];
    writeExpected(folder, sequences(openInference(checkpoints.get(TOP_2)!)), (ids, domain) => {
      const { logits, weights } = reference(architecture, read, [...ids], domain);
      refused.push(...weights.flat().map((row) => 2 - row.filter((weight) => weight > 0).length));
      return logits.map((row) => Float32Array.from(row));
    });
    expect(new Set(refused)).toEqual(new Set([0, 1, 2]));
    expect(compare('locmoe_logits.py', skip, folder)).toBe('good\n');
  });

  it('without a rule is refused by its name', () => {
    const checkpoint = ownRouter('without.mjs', '');
    expect(() => locmoeModel(checkpoint)).toThrow(/^moe\.router \S+without\.mjs\S+ cannot be exported/);
  });
});

it('a model whose experts keep tokens at random is refused', () => {
  const checkpoint = withMoe(checkpoints.get('locmoe-plus')!, { ranking: 'random' });
  expect(() => locmoeModel(checkpoint)).toThrow('moe.router locmoe-plus cannot be exported');
});

it('transformers is given the same model, with domains by name', ({ skip }) => {
  expect(compare('transformers_wrapper.py', skip, folders.get('locmoe-plus')!)).toBe('good\n');
});

it('weights too large for one file are in several, with an index that names the file of each', () => {
  const folder = folders.get(IN_SHARDS)!;
  const { metadata, weight_map: fileOf } = jsonOf(folder, 'model.safetensors.index.json');
  const shards = readdirSync(folder).filter((name) => name.endsWith('.safetensors'));
  const numShards = String(shards.length).padStart(5, '0');
  expect(shards.length).toBeGreaterThan(2);
  expect(shards.at(-1)).toBe(`model-${numShards}-of-${numShards}.safetensors`);
  const headers = shards.map((name) => readSafetensorsHeader(path.join(folder, name)));
  const entries = headers.flatMap(({ tensors }, i) =>
    [...tensors].map(([name, entry]) => ({ name, entry, file: shards[i] })),
  );
  expect(Object.fromEntries(entries.map(({ name, file }) => [name, file]))).toEqual(fileOf);
  expect(metadata.total_size).toBe(entries.reduce((sum, { entry }) => sum + entry.end - entry.begin, 0));
});

it('bfloat16 takes half the space, rounds as PyTorch does, and leaves routers as they are', async ({
  skip,
}) => {
  const whole = folders.get('moge')!;
  const folder = path.join(root, 'bfloat16');
  await writeFolder(folder, (output) => huggingface.write(checkpoints.get('moge')!, output, 'bfloat16'));
  expect(jsonOf(folder, 'config.json').torch_dtype).toBe('bfloat16');
  expect(compare('bfloat16.py', skip, whole, folder)).toBe('good\n');
});

it('a tokenizer of another model adds no tokens around a text', async () => {
  const template = { type: 'TemplateProcessing', single: [{ SpecialToken: { id: '<s>', type_id: 0 } }] };
  const tokenizer = {
    version: '1.0',
    post_processor: { type: 'Sequence', processors: [template] },
    model: {},
  };
  const { config } = checkpoints.get('moge')!.manifest;
  const file = path.join(root, 'tokenizer.json');
  writeFileSync(file, JSON.stringify(tokenizer));
  const folder = path.join(root, 'tokenizer');
  await writeFolder(folder, (output) => writeTokenizer(output, file, '</s>', config));
  expect(jsonOf(folder, 'tokenizer.json')).toEqual({ ...tokenizer, post_processor: null });
  expect(jsonOf(folder, 'tokenizer_config.json').eos_token).toBe('</s>');
});

describe('a dense model without query layer', () => {
  it('is a GPT-2, whose logits a program of another hand gives', ({ skip }) => {
    expect(compare('gpt2_logits.py', skip, folders.get(DENSE)!)).toBe('good\n');
  });

  it('has no code of its own', () => {
    expect(pythonFiles(folders.get(DENSE)!)).toEqual([]);
    expect(jsonOf(folders.get(DENSE)!, 'config.json')).not.toHaveProperty('auto_map');
  });
});
