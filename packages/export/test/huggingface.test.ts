import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Checkpoint, openCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { readSafetensorsHeader } from 'locmoe/internal/checkpoint/safetensors';
import { openInference } from 'locmoe/internal/inference/inference';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pythonWith } from '../../../scripts/python-oracles.mjs';
import { skipLoudly } from '../../../test/debian-tool.js';
import { huggingface } from '../src/huggingface/huggingface.js';
import { locmoeModel } from '../src/huggingface/locmoe.js';
import { writeTokenizer } from '../src/huggingface/tokenizer-files.js';
import { writeWeights } from '../src/huggingface/weights.js';
import { writeFolder } from '../src/output-folder.js';
import { writeSubModel } from '../src/sub-model.js';
import { runPython } from './python.js';
import { ownLogits, sequences, TRIED, trainedCheckpoint } from './trained.js';

const DENSE = 'a dense model';
const HASH = 'hash without experts for a part of the ids';
const IN_SHARDS = 'with its weights in several files';
const SHARD_BYTES = 40_000;

const root = mkdtempSync(path.join(tmpdir(), 'locmoe-huggingface-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const checkpoints = new Map<string, Checkpoint>();
/** Exported folders by variant, each with token ids and the logits of our model for them. */
const folders = new Map<string, string>();
beforeAll(async () => {
  for (const [i, variant] of TRIED.entries()) {
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
  await writeFolder(folder, (output) => huggingface.write(checkpoint, output, 'float32'));
  const inference = openInference(checkpoint);
  // A sub-model has the last domain alone.
  const idsBS = sequences(inference).slice(-inference.config.data.domains.length);
  const logits = idsBS.flatMap((ids, domain) => ownLogits(inference, ids, domain));
  writeFileSync(path.join(folder, 'ids.json'), JSON.stringify(idsBS.map((ids) => [...ids])));
  writeFileSync(path.join(folder, 'logits'), Buffer.concat(logits.map((row) => Buffer.from(row.buffer))));
  folders.set(name, folder);
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

it('a model whose experts keep tokens at random is refused', () => {
  const { manifest, ...rest } = checkpoints.get('locmoe-plus')!;
  const moe = { ...manifest.config.moe, ranking: 'random' as const };
  const checkpoint = { ...rest, manifest: { ...manifest, config: { ...manifest.config, moe } } };
  expect(() => locmoeModel(checkpoint as Checkpoint)).toThrow('moe.ranking random cannot be exported');
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
