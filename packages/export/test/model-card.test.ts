import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { appendRecord, RunFolder, stepFolder } from '@locmoe/run-format';
import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { type RunConfig, runSchema } from 'locmoe/internal/config/schema';
import { CORPORA, SOURCES } from 'locmoe/internal/data/built-in/sources';
import { FORMAT_VERSION } from 'locmoe/internal/data/dataset';
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { modelCard } from '../src/huggingface/model-card.js';
import { factsOfRun } from '../src/huggingface/run-facts.js';

const root = mkdtempSync(path.join(tmpdir(), 'locmoe-card-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

function configOf(domains: readonly string[], moe: object = {}): RunConfig {
  return runSchema.parse({
    name: 'small',
    model: {
      dModel: 32,
      numHeads: 2,
      numDenseLayers: 1,
      numSparseLayers: 1,
      dFeedForward: 64,
      vocabSize: 400,
      seqLen: 24,
    },
    moe: { numExperts: 4, expertGroups: 2, ...moe },
    data: { domains, sources: { mine: { files: ['/home/me/secret/*.txt'] } } },
    train: { steps: 30, globalBatch: 8, learningRate: 0.01, warmupSteps: 5 },
  });
}

/** A checkpoint of step 20 in the folder of a run with validations at steps 10, 20 and 30, and a dataset. */
function checkpointOf(config: RunConfig): Checkpoint {
  const datasetDir = mkdtempSync(path.join(root, 'data-'));
  const split = (tokens: number) => ({ documents: 1_200, bytes: 3_400_000, tokens });
  const domain = { files: 1, duplicates: 0, longest: [], validationEntropy: 1 };
  const domains = config.data.domains.map((name) => ({
    ...domain,
    name,
    train: split(1_000_000),
    validation: split(9),
  }));
  const index = { formatVersion: FORMAT_VERSION, key: 'a'.repeat(64), vocabSize: 400, endOfText: 399 };
  writeFileSync(
    path.join(datasetDir, 'index.json'),
    JSON.stringify({ ...index, domains, validationEntropy: 1, files: {} }),
  );
  const run = new RunFolder(path.join(mkdtempSync(path.join(root, 'runs-')), 'small-1'));
  mkdirSync(run.directory);
  const record = { runId: 'small-1', generation: 1, address: '', isSecured: false, pid: 1, process: '' };
  run.writeRecord({
    ...record,
    state: 'finished',
    startedAt: '',
    datasetDir,
    forkedFrom: null,
    initFrom: null,
  });
  for (const step of [10, 20, 30])
    appendRecord(run.metrics, {
      type: 'validation',
      time: step,
      step,
      domains: config.data.domains.map((name, i) => ({
        domain: name,
        loss: 1 + i + step / 100,
        tokens: 4_096,
      })),
    });
  const manifest = { config, runId: 'small-1', step: 20 };
  return { folder: stepFolder(run.checkpoints, 20), manifest } as unknown as Checkpoint;
}

const cardOf = (checkpoint: Checkpoint, modelType = 'locmoe') =>
  modelCard(checkpoint.manifest, factsOfRun(checkpoint), modelType, '<|endoftext|>');

const frontMatter = (card: string) => parse(/^---\n(.*?)\n---\n/s.exec(card)![1]!);

describe('the model card', () => {
  it('says on what it was trained, by which rules, and how well it does', () => {
    const card = cardOf(checkpointOf(configOf(['en', 'bilingual', 'mine'])));
    expect(frontMatter(card)).toEqual({
      library_name: 'transformers',
      pipeline_tag: 'text-generation',
      language: ['en', 'zh'],
      tags: ['locmoe', 'moe'],
    });
    expect(card).toContain(
      '| `bilingual` | `@cocos/creator-types`, `typescript` | ISC; Apache-2.0 | 1,200 documents, 3.4 MB, 1,000,000 tokens |',
    );
    expect(card).toMatch(/^\| `mine` \| its trainer's own \| {2}\|/m);
    expect(card).not.toContain('secret');
    expect(card).toMatch(/^\| `maxExpertsPerToken` \| 4 \| l_max, most experts of a token \|$/m);
    // The card shows the last validation up to the checkpoint, that of step 20, though the run went on.
    expect(card).toMatch(
      /at step 20,.*\n\n.*\n.*\n\| `en` \| 1\.200 \| 3\.3 \| 4,096 \|\n\| `bilingual` \| 2\.200 /,
    );
    expect(card).toContain('at most 24 tokens');
  });

  it('does not take text of the trainer for the built-in domain of the same name', () => {
    const { data, ...rest } = configOf(['en']);
    const card = cardOf(checkpointOf({ ...rest, data: { ...data, sources: { en: data.sources.mine! } } }));
    expect(frontMatter(card)).not.toHaveProperty('language');
    expect(card).toMatch(/^\| `en` \| its trainer's own \| {2}\|/m);
  });

  it('leaves out what is not known', () => {
    const { manifest } = checkpointOf(configOf(['mine'], { router: 'switch' }));
    const card = cardOf({ folder: path.join(root, 'elsewhere/step-000020'), manifest } as Checkpoint);
    expect(frontMatter(card)).not.toHaveProperty('language');
    expect(frontMatter(card)).not.toHaveProperty('license');
    expect(card).not.toContain('## Evaluation');
    expect(card).not.toContain('for training |');
    expect(card).not.toMatch(/undefined|NaN|null \|$/m);
  });

  it('of a dense model has no router', () => {
    const { model, ...rest } = configOf(['en']);
    const card = cardOf(checkpointOf({ ...rest, model: { ...model, numSparseLayers: 0 } }), 'gpt2');
    expect(frontMatter(card).tags).toEqual(['gpt2']);
    expect(card).not.toMatch(/## Router|expert/);
  });
});

it('the licence of every text is that of docs/data.md', () => {
  const rows = readFileSync(new URL('../../../docs/data.md', import.meta.url), 'utf8').split('\n');
  for (const corpus of CORPORA)
    for (const { packageName, publishedAs, licence } of Object.values(SOURCES[corpus]).flat()) {
      const row = rows.find((each) => each.startsWith('| ') && each.includes(publishedAs ?? packageName));
      expect(row?.split('|').at(-2), packageName).toContain(licence);
    }
});
