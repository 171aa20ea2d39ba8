import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Locmoe, locmoe, newestRun, pasted, trainArguments } from './support.js';

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-generate-'));
let run: string;
beforeAll(async () => {
  const sets = ['data.domains=[en]', 'moe.expertGroups=1', 'moe.router=locmoe-plus'];
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

  const continuation = text.stdout.slice('The state'.length, -1);
  const stop = continuation.slice(10, 13);
  const stopped = await generate('--prompt', 'The state', '--stop', 'no such text', '--stop', stop);
  expect(stopped.stdout).toBe(`The state${continuation.slice(0, continuation.indexOf(stop))}\n`);

  const greedy = await generate('--prompt', 'The state', '--temperature', '0');
  expect((await generate('--prompt', 'The state', '--top-p', '1e-9')).stdout).toBe(greedy.stdout);
  const varied = await generate('--prompt', 'The state', '--temperature', '0', '--repetition-penalty', '3');
  expect(varied.stdout).not.toBe(greedy.stdout);
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

it('says that a prompt better ends without a space, where it is a text to continue', async () => {
  const spaced = await generate('--prompt', 'The state ', '--max-tokens', '2');
  expect(spaced).toMatchObject({ code: 0, stdout: expect.stringMatching(/^The state /) });
  expect(spaced.stderr).toMatch(/^locmoe: the prompt ends with a space, .* without it\n$/);
});

it('says that of a prompt which is longer than the window the end alone is read', async () => {
  const long = 'The state of '.repeat(20).trim();
  const { code, stdout, stderr } = await generate('--prompt', long, '--max-tokens', '2');
  expect(code, stderr).toBe(0);
  expect(stdout.startsWith(long)).toBe(true);
  expect(stderr).toMatch(
    /^locmoe: the prompt has \d+ tokens, and the model sees 32: only the last 32 are read\n$/,
  );
});

it('shows text as it comes, and ends at Ctrl-C with 130', async () => {
  const long = new Locmoe(['generate', '--checkpoint', run, '--prompt', 'The', '--max-tokens', '1000000']);
  await long.until(/^The[\s\S]{200}/);
  long.interrupt();
  const { code, stdout, stderr } = await long.finished;
  expect({ code, stderr }).toEqual({ code: 130, stderr: 'locmoe: SIGINT: ended\n' });
  expect(stdout.endsWith('\n')).toBe(true);
});

it.each([
  [['--prompt', 'a', '--interactive'], /give either --prompt TEXT/],
  [[], /give either --prompt TEXT/],
  [['--prompt', 'a', '--domain', 'zh'], /--domain zh: the model knows en/],
  [['--prompt', 'a', '--top-p', '1.5'], /--top-p.*above 0 and at most 1/],
  [['--prompt', 'a', '--repetition-penalty', '0'], /--repetition-penalty.*above 0/],
])('refuses %j', async (args, pattern) => {
  const { code, stderr, stdout } = await generate(...args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(pattern);
});
