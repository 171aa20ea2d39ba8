import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  CLI,
  type Finished,
  Locmoe,
  locmoe,
  MICRO,
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
  cpSync(path.join(ROOT, 'dist'), path.join(checkout, 'dist'), { recursive: true });
  for (const name of ['package.json', 'node_modules', 'proto', 'configs', 'scripts'])
    symlinkSync(path.join(ROOT, name), path.join(checkout, name));
  mkdirSync(path.join(checkout, 'corpus'));
  for (const name of ['package.json', 'package-lock.json'])
    cpSync(path.join(ROOT, 'corpus', name), path.join(checkout, 'corpus', name));
  return path.join(checkout, 'dist/cli/cli.js');
}

describe('a configuration is refused before anything starts', () => {
  const withSet = (...sets: string[]) =>
    trainArguments({ folder: temporaryFolder(), nodes: 1, workersPerNode: 2, sets });

  it.each([
    ['an unknown key', 'model.depth=3', /--set model\.depth=3: model\.depth: unknown key/],
    [
      'heads that do not divide d',
      'model.numHeads=3',
      /model\.numHeads: dModel 32 is not divisible by numHeads 3/,
    ],
    [
      'experts not spread evenly',
      'moe.numExperts=5',
      /moe\.numExperts: 5 experts cannot be spread evenly over 2 workers/,
    ],
    [
      'a router that does not exist',
      'moe.router=best',
      /--set moe\.router=best: moe\.router: must be one of hash, locmoe, /,
    ],
    [
      'a model that no machine holds',
      'moe.numExperts=100000000',
      /a rank would hold [\d,]+ parameters .* this machine .* has [\d.]+ GB/,
    ],
    [
      'a domain that does not exist',
      'data.domains=[en, klingon]',
      /^locmoe: --set .*unknown domain "klingon"; known domains are en/,
    ],
  ])('%s', (_, set, pattern) => refused(withSet(set), pattern));

  it('no workers', () =>
    refused(
      trainArguments({ folder: temporaryFolder(), nodes: 1, workersPerNode: 0 }),
      /--workers-per-node 0: cluster\.workersPerNode: /,
    ));

  it('more processes than a machine can hold', () =>
    refused(
      trainArguments({
        folder: temporaryFolder(),
        nodes: 5000,
        workersPerNode: 1,
        sets: ['train.globalBatch=5000', 'moe.numExperts=5000'],
      }),
      /5000 nodes x 1 workers are 10000 processes/,
    ));

  it('a file that does not exist', () =>
    refused(['train', '--config', 'nowhere.yaml'], /nowhere\.yaml.*recipes: .*tiny/));

  it('a pipe, a device, or a file of the kernel, in the place of a file', async () => {
    const folder = temporaryFolder();
    const pipe = path.join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const isNone = (file: string, what: string) => new RegExp(`${file}:? is no regular file but ${what}`);
    const train = ['train', '--runs-dir', path.join(folder, 'runs'), '--data-dir', path.join(folder, 'data')];
    await refused([...train, '--config', '/dev/zero'], isNone('/dev/zero', 'a device'));
    await refused([...train, '--config', pipe], isNone(pipe, 'a pipe'));
    await refused([...train, '--config', '/proc/kmsg'], isNone('/proc/kmsg', "one of the kernel's"));
    await refused([...train, '--config', 'tiny', '--set', `data.tokenizer=${pipe}`], isNone(pipe, 'a pipe'));
    await refused([...train, '--text', pipe], isNone(pipe, 'a pipe'));
    await refused([...train, '--text', '/proc/**'], /"\/proc\/\*\*" is of files that the kernel makes/);
    await refused(['data', 'inspect', '--text', pipe], isNone(pipe, 'a pipe'));
    await refused(['eval', '--checkpoint', folder, '--task', pipe], isNone(pipe, 'a pipe'));
    await refused(['status', '--coordinator', '127.0.0.1:1', '--token-file', pipe], isNone(pipe, 'a pipe'));
    expect(readdirSync(folder)).toEqual(['pipe']);
  });

  it('no configuration at all', () => refused(['train'], /--config FILE or --config RECIPE/));

  it('a field in a file, with its line', async () => {
    const folder = temporaryFolder();
    const args = trainArguments({
      folder,
      nodes: 1,
      workersPerNode: 1,
      config: MICRO.replace('steps: 30', 'steps: none'),
    });
    await refused(args, /micro\.yaml:\d+:\d+ train\.steps: /);
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
      /domain en: the text source \S+ is not installed in .*locmoe setup --corpus/,
    );
  });

  it('a folder for the runs', async () => {
    const args = trainArguments({ folder: temporaryFolder(), nodes: 1, workersPerNode: 1 });
    const file = args[args.indexOf('--config') + 1];
    const withFile = args.map((arg, i) => (args[i - 1] === '--runs-dir' ? file : arg));
    for (const more of [[], ['--resume']])
      await refused(
        [...withFile, ...more],
        new RegExp(`^locmoe: --runs-dir ${file}: ${file} is not a folder$`, 'm'),
      );
  });

  it('open files', async () => {
    const limited = ['sh', '-c', 'ulimit -n 64 && exec "$@"', 'sh', process.execPath, CLI];
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
      /^locmoe: WebAssembly.* memory.*; raise the limit of address space: ulimit -v unlimited$/im,
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

  it('room in /dev/shm', async () => {
    // More than machines have: 1 GiB for each of 2 x 15 x 16 pairs of ranks in a node, and as many between nodes.
    const folder = temporaryFolder();
    const sets = ['cluster.ringBytes=1073741824', 'moe.numExperts=32', 'train.globalBatch=32'];
    const dataDir = path.join(folder, 'data');
    const args = trainArguments({ folder, nodes: 2, workersPerNode: 16, sets, dataDir });
    await refused(args, /locmoe: .*needs \d+ bytes in \/dev\/shm.*cluster\.ringBytes/);
    // It is known before any text is prepared.
    expect(readdirSync(folder)).toEqual(['micro.yaml']);
  });
});

describe('a checkpoint is refused', () => {
  let folder: string;
  let good: string;

  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'locmoe-e2e-'));
    good = path.join(
      await trainToTheEnd({ folder, nodes: 1, workersPerNode: 2, sets: ['train.steps=2'] }),
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

  it('when a shard is cut short', async () => {
    const folder = copy();
    truncateSync(path.join(folder, 'shared.safetensors'), 1000);
    await cannotLoad(generate(folder), /shared\.safetensors is damaged: expected \d+ bytes, found 1000/);
  });

  it('when a bit is wrong', async () => {
    const folder = copy();
    const file = path.join(folder, readdirSync(folder).find((name) => name.startsWith('experts-'))!);
    const bytes = readFileSync(file);
    bytes[bytes.length - 5] ^= 1;
    writeFileSync(file, bytes);
    await cannotLoad(generate(folder), /experts-.* is damaged: expected SHA-256/);
  });

  it('when there is none', () => refused(generate('/nowhere'), /there is no checkpoint in \/nowhere/));

  it('when the domain is unknown to it', async () => {
    await refused(
      ['generate', '--checkpoint', good, '--prompt', 'a', '--domain', 'xx'],
      /--domain xx: .*en, code/,
    );
  });

  it('by an export without a place for it, or to a format that cannot hold what is asked for', async () => {
    const taken = temporaryFolder();
    writeFileSync(path.join(taken, 'notes'), 'mine');
    const to = (format: string) => ['export', '--checkpoint', good, '--to', format, '--output', taken];
    await refused(to('huggingface'), /--output .*: it exists and `locmoe export` did not write it/);
    await refused([...to('onnx'), '--dtype', 'bfloat16'], /--dtype bfloat16: --to onnx writes float32 only/);
    expect(readdirSync(taken)).toEqual(['notes']);
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
    // Before any text is prepared.
    [
      ['serve', '--config', 'tiny', '--data-dir', '/dev/null/x', '--http', '0.0.0.0:0'],
      /--http 0\.0\.0\.0:0 can be reached from other machines: give --token-file FILE/,
    ],
    [['train', '--nodes', 'two'], /--nodes.*whole number/],
    [['logs', '--level', 'loud'], /--level/],
    [['logs', '--since', 'yesterday-ish'], /--since.*duration/],
    [['generate'], /required option/],
    [['status', '--run', 'no-such-run'], /run no-such-run: .* no readable run\.json/],
    [['status', '--coordinator', '127.0.0.1:1'], /no coordinator answers at 127\.0\.0\.1:1/],
  ] as const)('%j', async (args, pattern) => {
    const { code, stderr } = await locmoe(...args);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(pattern);
    expect(stderr).not.toMatch(/\n\s+at /);
  });
});
