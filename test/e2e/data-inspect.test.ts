import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { Locmoe, temporaryFolder } from './support.js';

const run = (folder: string, ...args: string[]) => new Locmoe(args, {}, undefined, folder).finished;
const sentence = (i: number) => `Note ${i} says that ${i * 7919} comes before ${i * 7920 + 1}. `;

const CONFIG = `
name: inspected
model: { dModel: 8, numHeads: 2, numDenseLayers: 1, numSparseLayers: 1, dFeedForward: 16, vocabSize: 300, seqLen: 16 }
moe: { numExperts: 2, router: hash, expertGroups: 1 }
train: { steps: 1000, maxTokens: 640, globalBatch: 4, learningRate: 0.1 }
data:
  validationShare: 0.2
  domains:
    - notes: { files: notes/*.txt }
    - lines: { files: lines.jsonl }
`;

it('tells of text by domain, with what was left out, the longest documents and a sample', async () => {
  const folder = temporaryFolder();
  mkdirSync(path.join(folder, 'notes'));
  for (let i = 0; i < 6; i++)
    writeFileSync(
      path.join(folder, `notes/${i}.txt`),
      // 2,000 bytes, but for one of 20,000.
      Array.from({ length: i === 3 ? 400 : 40 }, (_, line) => sentence(1000 * i + line)).join('\n'),
    );
  const texts = Array.from({ length: 30 }, (_, i) => sentence(i).repeat(i === 7 ? 20 : 1));
  // The last one repeats the first.
  const lines = [...texts, texts[0]].map((text) => JSON.stringify({ text }));
  writeFileSync(path.join(folder, 'lines.jsonl'), lines.join('\n'));
  writeFileSync(path.join(folder, 'config.yaml'), CONFIG);

  const json = await run(folder, 'data', 'inspect', '--config', 'config.yaml', '--json');
  expect(json.code, json.stderr).toBe(0);
  const { vocabSize, domains } = JSON.parse(json.stdout);
  expect(vocabSize).toBe(300);
  const [notes, own] = domains;
  expect(notes).toMatchObject({ name: 'notes', files: 6, duplicates: 0 });
  expect(notes.longest[0]).toMatchObject({
    file: path.join(folder, 'notes/3.txt'),
    start: expect.stringMatching(/^Note 3000 says that 23757000/),
  });
  expect(own).toMatchObject({ name: 'lines', files: 1, duplicates: 1 });
  expect(own.train.documents + own.validation.documents).toBe(30);
  expect(own.longest).toHaveLength(5);
  expect(own.longest[0].bytes).toBe(Buffer.byteLength(texts[7]));
  for (const { train, validation, bytesPerToken, passes, sample } of domains) {
    expect((train.bytes + validation.bytes) / (train.tokens + validation.tokens)).toBeCloseTo(bytesPerToken);
    expect(train.sequences).toBe(Math.floor((train.tokens - 1) / 16));
    // The tokens allow 10 steps of 4 sequences for two domains.
    expect(passes * train.sequences).toBeCloseTo(20);
    expect(sample).toMatch(/Note \d+ says/);
  }
  expect(own.sample).toContain('<|endoftext|>');

  const table = await run(folder, 'data', 'inspect', '--config', 'config.yaml');
  expect(table.stdout).toMatch(/^ {2}lines +1 +30 +1 \(3 %\)/m);
  expect(table.stdout).toMatch(/^longest texts of notes\n +\d+ kB {2}notes\/3\.txt\n +Note 3000/m);

  const recipe = await run(folder, 'data', 'inspect', '--text', 'notes/*.txt');
  expect(recipe.stdout).toMatch(/^ {2}notes +6 /m);
  const nothing = await run(folder, 'data', 'inspect');
  expect(nothing.code).toBe(2);
  expect(nothing.stderr).toMatch(/^locmoe: say what to inspect/);
});

it('counts the steps of --text by what is left of it without duplicates', async () => {
  const folder = temporaryFolder();
  mkdirSync(path.join(folder, 'notes'));
  const text = Array.from({ length: 4000 }, (_, i) => sentence(i)).join('\n');
  for (const name of ['a', 'b', 'c']) writeFileSync(path.join(folder, `notes/${name}.txt`), text);
  const { code, stdout, stderr } = await run(folder, 'data', 'inspect', '--text', 'notes/*.txt', '--json');
  expect(code, stderr).toBe(0);
  const [{ duplicates, train, validation, passes }] = JSON.parse(stdout).domains;
  expect(duplicates).toBeGreaterThan(train.documents + validation.documents);
  // Eight passes over text of this size, but for the rounding of the steps.
  expect(passes).toBeGreaterThan(7.5);
  expect(passes).toBeLessThan(8.5);
});
