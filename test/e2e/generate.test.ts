import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Locmoe, locmoe, newestRun, pasted, trainArguments } from './support.js';

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-generate-'));
let run: string;
beforeAll(async () => {
  const sets = ['data.domains=[en]', 'moe.expertGroups=1', 'moe.router=locmoe-plus', 'train.steps=10'];
  const { code, output } = await finishedOf(
    new Locmoe(trainArguments({ folder, nodes: 1, workersPerNode: 1, sets })),
  );
  expect(code, output).toBe(0);
  run = newestRun(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function finishedOf(command: Locmoe) {
  return { ...(await command.finished), output: command.output };
}

const generate = (...args: string[]) =>
  locmoe('generate', '--checkpoint', run, '--max-tokens', '60', ...args);

it('needs no domain of a model that has one, and prints the same with --prompt -', async () => {
  const text = await generate('--prompt', 'The state');
  expect(text.code, text.stderr).toBe(0);
  expect(text.stdout).toMatch(/^The state[\s\S]{20}/);
  // The line break that `echo` adds is not of the prompt.
  const piped = await pasted(
    `echo 'The state' | locmoe generate --checkpoint ${run} --max-tokens 60 --prompt -`,
  ).finished;
  expect(piped).toMatchObject({ code: 0, stdout: text.stdout });
});

it('goes on from all that was said, line by line', async () => {
  const command = `locmoe generate --checkpoint ${run} --max-tokens 10 --interactive`;
  const { code, stdout, stderr } = await pasted(`printf 'The\\nAnd' | ${command}`).finished;
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const [first] = stdout.split('\n');
  const alone = await locmoe('generate', '--checkpoint', run, '--max-tokens', '10', '--prompt', 'The');
  expect(`The${first}`).toBe(alone.stdout.split('\n')[0]);
  const said = `${alone.stdout.slice(0, -1)}\nAnd`;
  const second = await locmoe('generate', '--checkpoint', run, '--max-tokens', '10', '--prompt', said);
  expect(stdout).toBe(alone.stdout.slice('The'.length) + second.stdout.slice(said.length));
});

it('shows text as it comes, and ends at Ctrl-C with 130', async () => {
  const long = new Locmoe(['generate', '--checkpoint', run, '--prompt', 'The', '--max-tokens', '1000000']);
  await long.until(/^The[\s\S]{200}/);
  long.interrupt();
  const { code, stdout, stderr } = await long.finished;
  expect({ code, stderr }).toEqual({ code: 130, stderr: 'locmoe: SIGINT: ended\n' });
  expect(stdout.endsWith('\n')).toBe(true);
});
