import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { trainedCheckpoint } from '../../packages/export/test/trained.js';
import { runCommand } from '../run-command.js';

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-generate-command-'));
let checkpoint: string;
beforeAll(() => {
  checkpoint = trainedCheckpoint(folder, 'locmoe-plus').folder;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function generate(prompt: string, ...more: readonly string[]) {
  const asked = ['--checkpoint', checkpoint, '--domain', 'prose', '--max-tokens', '40', '--prompt', prompt];
  const { code, stdout, stderr } = await runCommand('generate', ...asked, ...more);
  expect(code, stderr).toBe(0);
  return { stdout, stderr };
}

it('ends before a text that was asked for', async () => {
  const { stdout } = await generate('The state');
  expect(stdout).toMatch(/^The state[\s\S]{20}/);
  const continuation = stdout.slice('The state'.length, -1);
  const stop = continuation.slice(10, 13);
  const stopped = await generate('The state', '--stop', 'no such text', '--stop', stop);
  expect(stopped.stdout).toBe(`The state${continuation.slice(0, continuation.indexOf(stop))}\n`);
});

it('takes the likeliest tokens where no others are left, and others if repetition is penalized', async () => {
  const greedy = await generate('The state', '--temperature', '0');
  expect((await generate('The state', '--top-p', '1e-9')).stdout).toBe(greedy.stdout);
  const varied = await generate('The state', '--temperature', '0', '--repetition-penalty', '3');
  expect(varied.stdout).not.toBe(greedy.stdout);
});

it('writes the same for the same seed', async () => {
  const ofSeed = async (seed: string) => (await generate('The', '--seed', seed)).stdout;
  const first = await ofSeed('1');
  expect(await ofSeed('1')).toBe(first);
  expect(await ofSeed('2')).not.toBe(first);
});

it('says that a prompt better ends without a space, where it is a text to continue', async () => {
  const { stdout, stderr } = await generate('The state ', '--max-tokens', '2');
  expect(stdout).toMatch(/^The state /);
  expect(stderr).toMatch(/^locmoe: the prompt ends with a space, .* without it\n$/);
});

it('says that of a prompt which is longer than the window the end alone is read', async () => {
  const long = 'The state of '.repeat(20).trim();
  const { stdout, stderr } = await generate(long, '--max-tokens', '2');
  expect(stdout.startsWith(long)).toBe(true);
  expect(stderr).toMatch(
    /^locmoe: the prompt has \d+ tokens, and the model sees 24: only the last 24 are read\n$/,
  );
});
