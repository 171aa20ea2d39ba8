import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { runCommand } from '../run-command.js';

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-inspect-'));
afterAll(() => rmSync(folder, { recursive: true }));

const CONFIG = path.join(folder, 'config.yaml');
const sentence = (i: number) => `Note ${i} says that ${i * 7919} comes before ${i * 7920 + 1}. `;
const sentences = (first: number, count: number) =>
  Array.from({ length: count }, (_, i) => sentence(first + i)).join('\n');

async function inspect(...args: readonly string[]): Promise<string> {
  const dataDir = path.join(folder, 'data');
  const { code, stdout, stderr } = await runCommand('data', 'inspect', ...args, '--data-dir', dataDir);
  expect(code, stderr).toBe(0);
  return stdout;
}

it('tells of text by domain, with what was left out, the longest documents and a sample', async () => {
  mkdirSync(path.join(folder, 'notes'));
  // Each has 2,000 bytes, but for one of 20,000.
  for (let i = 0; i < 6; i++)
    writeFileSync(path.join(folder, `notes/${i}.txt`), sentences(1000 * i, i === 3 ? 400 : 40));
  const texts = Array.from({ length: 30 }, (_, i) => sentence(i).repeat(i === 7 ? 20 : 1));
  // The last one repeats the first.
  const lines = [...texts, texts[0]].map((text) => JSON.stringify({ text }));
  writeFileSync(path.join(folder, 'lines.jsonl'), lines.join('\n'));
  writeFileSync(
    CONFIG,
    `
name: inspected
model: { dModel: 8, numHeads: 2, numDenseLayers: 1, numSparseLayers: 1, dFeedForward: 16, vocabSize: 300, seqLen: 16 }
moe: { numExperts: 2, router: hash, expertGroups: 1 }
train: { steps: 1000, maxTokens: 640, globalBatch: 4, learningRate: 0.1 }
data: { validationShare: 0.2, domains: [notes: { files: notes/*.txt }, lines: { files: lines.jsonl }] }
`,
  );

  const { vocabSize, domains } = JSON.parse(await inspect('--config', CONFIG, '--json'));
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
  expect(own.longest[0].bytes).toBe(Buffer.byteLength(texts[7]!));
  for (const { train, validation, bytesPerToken, passes, sample } of domains) {
    expect((train.bytes + validation.bytes) / (train.tokens + validation.tokens)).toBeCloseTo(bytesPerToken);
    expect(train.sequences).toBe(Math.floor((train.tokens - 1) / 16));
    // The tokens allow 10 steps of 4 sequences for two domains.
    expect(passes * train.sequences).toBeCloseTo(20);
    expect(sample).toMatch(/Note \d+ says/);
  }
  expect(own.sample).toContain('<|endoftext|>');

  const table = await inspect('--config', CONFIG);
  expect(table).toMatch(/^ {2}lines +1 +30 +1 \(3 %\)/m);
  expect(table).toMatch(/^longest texts of notes\n +\d+ kB {2}\S*notes\/3\.txt\n +Note 3000/m);
  expect(await runCommand('data', 'inspect')).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/^locmoe: say what to inspect/),
  });
});

it('counts the steps of --text by what is left of it without duplicates', async () => {
  mkdirSync(path.join(folder, 'same'));
  for (const name of ['a', 'b', 'c'])
    writeFileSync(path.join(folder, `same/${name}.txt`), sentences(0, 4000));
  const report = await inspect('--text', path.join(folder, 'same/*.txt'), '--json');
  const [{ duplicates, train, validation, passes }] = JSON.parse(report).domains;
  expect(duplicates).toBeGreaterThan(train.documents + validation.documents);
  // The recipe makes four passes, but for the rounding of the steps.
  expect(passes).toBeGreaterThan(3.7);
  expect(passes).toBeLessThan(4.3);
});
