import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { majorOf } from '../../scripts/node-versions.mjs';
import {
  CLI,
  type Finished,
  Locmoe,
  locmoe,
  ROOT,
  temporaryFolder,
  trainArguments,
  trainToTheEnd,
} from './support.js';

/** Runs a command that must be refused: code 2, a line on standard error for each pattern, no stack trace, quickly. */
async function refused(args: readonly string[], ...patterns: readonly RegExp[]): Promise<void> {
  expectRefusal(await locmoe(...args), ...patterns);
}

/** As `refused`, for a checkpoint that is damaged: code 4. */
async function cannotLoad(args: readonly string[], ...patterns: readonly RegExp[]): Promise<void> {
  const finished = await locmoe(...args);
  expect(finished.code, finished.stderr).toBe(4);
  expectRefusal({ ...finished, code: 2 }, ...patterns);
}

function expectRefusal({ code, stderr, stdout, seconds }: Finished, ...patterns: readonly RegExp[]): void {
  expect(code, stdout + stderr).toBe(2);
  for (const pattern of patterns) expect(stderr).toMatch(pattern);
  expect(stderr).not.toMatch(/\n\s+at /);
  expect(stderr.trim().split('\n').length, stderr).toBeLessThanOrEqual(2);
  // Long before a run could have started; the machine may be busy.
  expect(seconds).toBeLessThan(30);
}

/** The command of a checkout in which the text sources were not installed. */
function withoutCorpus(folder: string): string {
  const checkout = path.join(folder, 'checkout');
  // The parts of a set-up are looked for beside the scripts, wherever a link to them leads.
  for (const name of ['dist', 'scripts'])
    cpSync(path.join(ROOT, name), path.join(checkout, name), { recursive: true });
  for (const name of ['package.json', 'node_modules', 'proto', 'configs'])
    symlinkSync(path.join(ROOT, name), path.join(checkout, name));
  mkdirSync(path.join(checkout, 'corpus'));
  for (const name of ['package.json', 'package-lock.json'])
    cpSync(path.join(ROOT, 'corpus', name), path.join(checkout, 'corpus', name));
  return path.join(checkout, 'dist/cli/cli.js');
}

/** Refusals that need no process of their own are tested in test/cli/refusals.test.ts. */
describe('a configuration is refused before anything starts', () => {
  it('an unknown key, in one line and with code 2', () =>
    refused(
      trainArguments({ folder: temporaryFolder(), nodes: 1, workersPerNode: 2, sets: ['model.depth=3'] }),
      /^locmoe: --set model\.depth=3: model\.depth: unknown key[^\n]*\n$/,
    ));

  // In a process of its own, which may be ended if it reads on for ever.
  it.each([
    ['--config', '/dev/zero', /\/dev\/zero:? is no regular file but a device/],
    ['--config', '/proc/kmsg', /\/proc\/kmsg:? is no regular file but one of the kernel's/],
    ['--text', '/proc/**', /"\/proc\/\*\*" is of files that the kernel makes/],
  ])('%s %s', async (option, file, pattern) => {
    const folder = temporaryFolder();
    const folders = ['--runs-dir', path.join(folder, 'runs'), '--data-dir', path.join(folder, 'data')];
    await refused(['train', ...folders, option, file], pattern);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('what a run needs is missing', () => {
  it('the corpus', async () => {
    const folder = temporaryFolder();
    const args = trainArguments({ folder, nodes: 1, workersPerNode: 1 }).map((arg, i, all) =>
      all[i - 1] === '--data-dir' ? path.join(folder, 'data') : arg,
    );
    const run = new Locmoe(args, {}, [process.execPath, withoutCorpus(folder)]);
    expectRefusal(
      await run.finished,
      /domain en: the text source \S+ is not installed in .*cli\.js setup --corpus/,
    );
  });

  it('open files', async () => {
    // Node 20 opens many modules at once, later ones one after the other.
    const least = majorOf(process.versions.node) < 22 ? 64 : 28;
    const limited = ['sh', '-c', `ulimit -n ${least} && exec "$@"`, 'sh', process.execPath, CLI];
    const args = trainArguments({ folder: temporaryFolder(), nodes: 1, workersPerNode: 1 });
    expectRefusal(
      await new Locmoe(args, {}, limited).finished,
      /EMFILE: .*; raise the limit of open files: ulimit -n \d+$/m,
    );
  });

  it.each(['train', 'node'])('address space for %s', async (command) => {
    const limited = ['sh', '-c', 'ulimit -v 48000000 && exec "$@"', 'sh', process.execPath, CLI];
    const args =
      command === 'node'
        ? ['node', '--coordinator', '127.0.0.1:9']
        : trainArguments({ folder: temporaryFolder(), nodes: 1, workersPerNode: 1 });
    expectRefusal(
      await new Locmoe(args, {}, limited).finished,
      /^locmoe: the address space of a process is limited to 49 GB, .*: ulimit -v unlimited$/m,
    );
  });

  it('address space for the command itself', async () => {
    const limited = ['sh', '-c', 'ulimit -v 8000000 && exec "$@"', 'sh', process.execPath, CLI];
    const args = ['data', 'inspect', '--text', 'docs/*.md'];
    expectRefusal(
      await new Locmoe(args, {}, limited).finished,
      /^locmoe: (?:WebAssembly|Worker).* memory.*; raise the limit of address space: ulimit -v unlimited$/im,
    );
  });

  it('a free port', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    try {
      await refused(
        [
          ...trainArguments({ folder: temporaryFolder(), nodes: 1, workersPerNode: 1 }),
          '--port',
          String(port),
        ],
        new RegExp(`^locmoe: port ${port} on 127\\.0\\.0\\.1 cannot be used .*--port.*\\n$`),
      );
    } finally {
      server.close();
    }
  });
});

describe('a checkpoint is refused', () => {
  let folder: string;
  let good: string;

  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'locmoe-e2e-'));
    good = path.join(
      await trainToTheEnd({ folder, nodes: 1, workersPerNode: 1, sets: ['train.steps=2'] }),
      'checkpoints/step-000002',
    );
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function copy(): string {
    const folder = path.join(temporaryFolder(), 'step-000002');
    cpSync(good, folder, { recursive: true });
    return folder;
  }

  const generate = (folder: string) => [
    'generate',
    '--checkpoint',
    folder,
    '--prompt',
    'a',
    '--domain',
    'en',
  ];

  it('when a bit is wrong', async () => {
    const folder = copy();
    const file = path.join(folder, readdirSync(folder).find((name) => name.startsWith('experts-'))!);
    const bytes = readFileSync(file);
    bytes[bytes.length - 5] ^= 1;
    writeFileSync(file, bytes);
    await cannotLoad(generate(folder), /experts-.* is damaged: expected SHA-256/);
  });

  it('when the run has another shape or tokenizer', async () => {
    const base = { folder: temporaryFolder(), nodes: 1, workersPerNode: 1, resume: good };
    await refused(
      trainArguments({ ...base, sets: ['model.dModel=64', 'train.steps=4'] }),
      /does not fit the configuration: model\.dModel is 32 there and 64 in this run/,
    );
    await refused(
      trainArguments({ ...base, sets: ['data.domains=[en, zh]', 'train.steps=4'] }),
      /does not fit the configuration: data\.domains is \[en, code\] there and \[en, zh\] in this run\n/,
    );
    // Known once its text is prepared.
    await refused(
      trainArguments({ ...base, sets: ['data.validationShare=0.3', 'train.steps=4'] }),
      /does not fit the configuration: tokenizer SHA-256 is /,
    );
  });

  it('when the run would read another meaning into it', async () => {
    const base = { folder: temporaryFolder(), nodes: 1, workersPerNode: 1, resume: good };
    await refused(
      trainArguments({ ...base, sets: ['moe.router=locmoe-plus', 'train.steps=4'] }),
      /does not fit the configuration: moe\.router is switch there and locmoe-plus in this run/,
    );
    await refused(
      trainArguments({ ...base, sets: ['data.domains=[code, en]', 'train.steps=4'] }),
      /does not fit the configuration: data\.domains is \[en, code\] there and \[code, en\] in this run/,
    );
  });

  it('when there is nothing left to train', () =>
    refused(
      trainArguments({
        folder: temporaryFolder(),
        nodes: 1,
        workersPerNode: 1,
        resume: good,
        sets: ['train.steps=2'],
      }),
      /has done 2 steps, and train\.steps is 2; .*train\.steps=4/,
    ));
});

describe('the command line', () => {
  it.each([
    [['frobnicate'], /unknown command 'frobnicate'/],
    [['help', 'frobnicate'], /unknown command 'frobnicate'/],
    [['train', '--nodes', 'two'], /--nodes.*whole number/],
  ] as const)('%j', (args, pattern) => refused(args, pattern));
});
