import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Checkpoint, openCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { openInference } from 'locmoe/internal/inference/inference';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pythonWith } from '../../../scripts/python-oracles.mjs';
import { skipLoudly } from '../../../test/debian-tool.js';
import { huggingface } from '../src/huggingface/huggingface.js';
import { publishedModel } from '../src/huggingface/published.js';
import { writeFolder } from '../src/output-folder.js';
import { writeSubModel } from '../src/sub-model.js';
import { runPython } from './python.js';
import { ownLogits, sequences, trainedModel } from './trained.js';

const ORACLE = readFileSync(path.join(import.meta.dirname, 'oracles/published_logits.py'), 'utf8');

interface Variant {
  readonly model?: object;
  readonly moe?: object;
}

const TOP_2 = { router: 'switch', expertGroups: 1, expertsPerToken: 2 };
const VARIANTS: Readonly<Record<string, Variant>> = {
  mixtral: { model: { numDenseLayers: 0, numKeyValueHeads: 1, ropeTheta: 500 }, moe: TOP_2 },
  qwen2_moe: {
    model: { tiedEmbedding: true, normEpsilon: 1e-3 },
    moe: { ...TOP_2, sharedExperts: 2, dFeedForward: 24 },
  },
  'qwen2_moe, one expert, no shared one': { moe: { ...TOP_2, expertsPerToken: 1 } },
  llama: { model: { numDenseLayers: 2, numSparseLayers: 0, numKeyValueHeads: 1 } },
};
const PART = 'mixtral, a part of one with groups';

const root = mkdtempSync(path.join(tmpdir(), 'locmoe-published-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const folders = new Map<string, string>();
beforeAll(async () => {
  for (const [name, variant] of Object.entries(VARIANTS)) await exportAs(name, trained(variant));
  const grouped = trained({
    model: { numDenseLayers: 0 },
    moe: { ...TOP_2, numExperts: 6, expertGroups: 2 },
  });
  const part = path.join(root, 'part');
  await writeFolder(part, (output) => writeSubModel(grouped, output, 'code'));
  await exportAs(PART, openCheckpoint(part));
});

function trained({ model, moe }: Variant): Checkpoint {
  return trainedModel(mkdtempSync(path.join(root, 'model-')), {
    model: { family: 'mixtral', ...model },
    moe: moe ?? TOP_2,
  });
}

async function exportAs(name: string, checkpoint: Checkpoint): Promise<void> {
  const folder = path.join(root, `export-${folders.size}`);
  await writeFolder(folder, (output) => huggingface.write(checkpoint, output, 'float32'));
  const inference = openInference(checkpoint);
  const idsBS = sequences(inference).slice(-inference.config.data.domains.length);
  const logits = idsBS.flatMap((ids, domain) => ownLogits(inference, ids, domain));
  writeFileSync(path.join(folder, 'ids.json'), JSON.stringify(idsBS.map((ids) => [...ids])));
  writeFileSync(path.join(folder, 'logits'), Buffer.concat(logits.map((row) => Buffer.from(row.buffer))));
  folders.set(name, folder);
}

const configOf = (name: string) =>
  JSON.parse(readFileSync(path.join(folders.get(name)!, 'config.json'), 'utf8'));

it('a program of another hand gives the logits of each model that has a class', ({ skip }) => {
  const python =
    pythonWith(['torch', 'safetensors']) ??
    skipLoudly(
      skip,
      'no Python with torch and safetensors; as root on Debian: node scripts/python-oracles.mjs',
    );
  expect(runPython(python, ORACLE, 'check', ...folders.values())).toBe('good\n'.repeat(folders.size));
});

it('each comes in again as it went out', () => {
  for (const [name, folder] of folders) {
    const inference = openInference(openCheckpoint(folder));
    const ids: number[][] = JSON.parse(readFileSync(path.join(folder, 'ids.json'), 'utf8'));
    const logits = new Float32Array(Uint8Array.from(readFileSync(path.join(folder, 'logits'))).buffer);
    const again = ids
      .flatMap((each) => ownLogits(inference, Int32Array.from(each), 0))
      .flatMap((row) => [...row]);
    expect(again.length).toBe(logits.length);
    const difference = again.reduce((most, logit, i) => Math.max(most, Math.abs(logit - logits[i]!)), 0);
    expect(difference, name).toBeLessThan(1e-5);
  }
});

it('config.json names the class that computes the model, and there is no code', () => {
  for (const [name, folder] of folders) {
    expect(configOf(name).model_type).toBe(name.split(',')[0]);
    expect(configOf(name)).not.toHaveProperty('auto_map');
    expect(readdirSync(folder).filter((file) => file.endsWith('.py'))).toEqual([]);
    expect(readFileSync(path.join(folder, 'README.md'), 'utf8')).not.toContain('trust_remote_code');
  }
  expect(configOf('mixtral')).toMatchObject({
    num_local_experts: 4,
    num_experts_per_tok: 2,
    rope_theta: 500,
  });
  expect(configOf('qwen2_moe')).toMatchObject({ mlp_only_layers: [0], shared_expert_intermediate_size: 48 });
  expect(configOf(PART)).toMatchObject({ num_local_experts: 3 });
});

describe('what no class computes is refused by its field', () => {
  it.each([
    ['moe.router deepseek', { router: 'deepseek' }],
    ['moe.expertGroups 2', { expertGroups: 2 }],
    ['moe.tokenPreference 2', { tokenPreference: 2 }],
  ] as const)('%s', (field, moe) => {
    const { manifest, ...rest } = openCheckpoint(path.join(root, 'part'));
    const config = {
      ...manifest.config,
      moe: { ...manifest.config.moe, subModel: null, expertGroups: 1, ...moe },
    };
    expect(() => publishedModel({ ...rest, manifest: { ...manifest, config } })).toThrow(
      `${field} cannot be exported`,
    );
  });

  it('moe.tableAfter 9', () => {
    const voted = trained({ moe: { ...TOP_2, expertsPerToken: 1, tableAfter: 9 } });
    expect(() => publishedModel(voted)).toThrow('moe.tableAfter 9 cannot be exported');
  });
});
