import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Checkpoint } from 'locmoe/checkpoint/checkpoint';
import type { RunConfig } from 'locmoe/config/schema';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pythonWith } from '../../../scripts/python-oracles.mjs';
import { skipLoudly } from '../../../test/debian-tool.js';
import { huggingface } from '../src/huggingface/huggingface.js';
import { writeFolder } from '../src/output-folder.js';
import { ownLogits, promptsOf, smallConfig, trainedCheckpoint } from './trained-model.js';

const root = mkdtempSync(path.join(tmpdir(), 'locmoe-huggingface-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const python = pythonWith(['torch', 'safetensors']);
const WHY_SKIPPED =
  'no Python with torch and safetensors; as root on Debian: node scripts/python-oracles.mjs';

const MODELS = {
  hash: smallConfig({ moe: { router: 'hash' } }),
  switch: smallConfig({ moe: { router: 'switch' } }),
  locmoe: smallConfig({ moe: { router: 'locmoe' } }),
  'locmoe with learned groups': smallConfig({ moe: { router: 'locmoe', learnedGroups: true } }),
  'locmoe-plus': smallConfig(),
  'locmoe-plus with learned groups': smallConfig({ moe: { learnedGroups: true, temperature: 0.5 } }),
  'locmoe-plus, tokens choose': smallConfig({ moe: { selection: 'tcr', affinityThreshold: 0.5 } }),
  'locmoe-plus, experts choose': smallConfig({ moe: { selection: 'ecr' } }),
  'no groups, no query layer': smallConfig({ moe: { expertGroups: 1 }, model: { queryLayer: false } }),
  'sparse layers alone': smallConfig({ model: { numDenseLayers: 0 } }),
  'dense layers below the query layer': smallConfig({ model: { numSparseLayers: 0 } }),
};
const GPT2 = smallConfig({ model: { numDenseLayers: 2, numSparseLayers: 0, queryLayer: false } });

/** An exported model, with a sequence of each domain and our logits for it. */
interface Exported {
  readonly name: string;
  readonly folder: string;
  readonly sequences: readonly (readonly number[])[];
  readonly logits: readonly number[];
}

async function exportedFolder(checkpoint: Checkpoint, name: string): Promise<string> {
  const folder = path.join(root, name, 'exported');
  await writeFolder(folder, (output) => huggingface.write(checkpoint, output));
  return folder;
}

async function exported(name: string, config: RunConfig): Promise<Exported> {
  const checkpoint = trainedCheckpoint(path.join(root, name), config);
  const sequences = promptsOf(checkpoint, config.model.seqLen);
  const folder = await exportedFolder(checkpoint, name);
  return { name, folder, sequences, logits: ownLogits(checkpoint, sequences).flat(2) };
}

/** What a program of oracles/ makes of each model. */
function logitsIn(program: string, models: readonly Exported[]): number[][] {
  const { status, stdout, stderr } = spawnSync(
    python!,
    [path.join(import.meta.dirname, 'oracles', program)],
    {
      input: JSON.stringify(models.map(({ folder, sequences }) => ({ folder, sequences }))),
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      env: { ...process.env, OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1', PYTHONDONTWRITEBYTECODE: '1' },
    },
  );
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return JSON.parse(stdout).map((logits: number[][][]) => logits.flat(2));
}

function greatestDifference(a: readonly number[], b: readonly number[]): number {
  expect(a.length).toBe(b.length);
  return a.reduce((greatest, value, i) => Math.max(greatest, Math.abs(value - b[i])), 0);
}

const filesOf = (folder: string) => readdirSync(folder).sort();
const jsonOf = (folder: string, file: string) => JSON.parse(readFileSync(path.join(folder, file), 'utf8'));

describe('a folder with PyTorch code of its own', () => {
  const models: Exported[] = [];
  beforeAll(async () => {
    for (const [name, config] of Object.entries(MODELS)) models.push(await exported(name, config));
  }, 180_000);

  it('gives the logits that the model has here, whatever the router', ({ skip }) => {
    if (python === null) skipLoudly(skip, WHY_SKIPPED);
    const logits = logitsIn('locmoe_logits.py', models);
    models.forEach((model, i) => {
      expect.soft(greatestDifference(logits[i], model.logits), model.name).toBeLessThan(1e-4);
    });
  });

  it('has the files that transformers looks for', () => {
    for (const { folder } of models)
      expect(filesOf(folder)).toEqual([
        ...['README.md', 'config.json', 'configuration_locmoe.py', 'generation_config.json', 'locmoe.py'],
        ...['model.safetensors', 'modeling_locmoe.py', 'special_tokens_map.json', 'tokenizer.json'],
        'tokenizer_config.json',
      ]);
  });
});

describe('a dense model without query layer', () => {
  let model: Exported;
  beforeAll(async () => {
    model = await exported('gpt2', GPT2);
  });

  it('is a GPT-2, whose logits a program of another hand gives', ({ skip }) => {
    if (python === null) skipLoudly(skip, WHY_SKIPPED);
    const [logits] = logitsIn('gpt2_logits.py', [model]);
    expect(greatestDifference(logits, model.logits)).toBeLessThan(1e-4);
  });

  it('has no code of its own', () => {
    expect(filesOf(model.folder).filter((file) => file.endsWith('.py'))).toEqual([]);
    expect(jsonOf(model.folder, 'config.json')).not.toHaveProperty('auto_map');
  });
});
