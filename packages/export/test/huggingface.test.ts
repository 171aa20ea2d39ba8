import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openInference } from 'locmoe/inference/inference';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pythonWith } from '../../../scripts/python-oracles.mjs';
import { skipLoudly } from '../../../test/debian-tool.js';
import { huggingface } from '../src/huggingface/huggingface.js';
import { writeFolder } from '../src/output-folder.js';
import { runPython } from './python.js';
import { ownLogits, sequences, trainedCheckpoint, VARIANTS } from './trained.js';

const DENSE = 'a dense model';

const root = mkdtempSync(path.join(tmpdir(), 'locmoe-huggingface-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Exported folders by variant, each with token ids and what our model makes of them. */
const folders = new Map<string, string>();
beforeAll(async () => {
  for (const [i, variant] of Object.keys(VARIANTS).entries()) {
    const checkpoint = trainedCheckpoint(mkdtempSync(path.join(root, 'model-')), variant);
    const folder = path.join(root, `export-${i}`);
    await writeFolder(folder, (output) => huggingface.write(checkpoint, output));
    const inference = openInference(checkpoint);
    const idsBS = sequences(inference);
    const logits = idsBS.flatMap((ids, domain) => ownLogits(inference, ids, domain));
    writeFileSync(path.join(folder, 'ids.json'), JSON.stringify(idsBS.map((ids) => [...ids])));
    writeFileSync(path.join(folder, 'logits'), Buffer.concat(logits.map((row) => Buffer.from(row.buffer))));
    folders.set(variant, folder);
  }
}, 180_000);

const pythonFiles = (folder: string) => readdirSync(folder).filter((name) => name.endsWith('.py'));
const jsonOf = (folder: string, file: string) => JSON.parse(readFileSync(path.join(folder, file), 'utf8'));

/** What a program of oracles/ prints. */
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

describe('a dense model without query layer', () => {
  it('is a GPT-2, whose logits a program of another hand gives', ({ skip }) => {
    expect(compare('gpt2_logits.py', skip, folders.get(DENSE)!)).toBe('good\n');
  });

  it('has no code of its own', () => {
    expect(pythonFiles(folders.get(DENSE)!)).toEqual([]);
    expect(jsonOf(folders.get(DENSE)!, 'config.json')).not.toHaveProperty('auto_map');
  });
});
