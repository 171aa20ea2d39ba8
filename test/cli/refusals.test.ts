import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { trainedCheckpoint } from '../../packages/export/test/trained.js';
import { writeManifest } from '../../src/checkpoint/manifest.js';
import { MICRO, temporaryFolder, trainArguments } from '../e2e/support.js';
import { runCommand } from '../run-command.js';

/** Checks that a command is refused with an exit code, in one line and before it prints anything else. */
async function expectRefusal(code: number, args: readonly string[], pattern: RegExp): Promise<void> {
  const [name, ...rest] = args;
  const { stdout, stderr, ...ran } = await runCommand(name, ...rest);
  expect(stderr).toMatch(pattern);
  expect({ code: ran.code, stdout }).toEqual({ code, stdout: '' });
  // The usage error of an option has a second line, which names --help.
  expect(stderr.trim().split('\n').length, stderr).toBeLessThanOrEqual(2);
}

const refused = (args: readonly string[], pattern: RegExp) => expectRefusal(2, args, pattern);

const withSet = (...sets: string[]) =>
  trainArguments({ folder: temporaryFolder(), nodes: 1, workersPerNode: 2, sets });

it.each(['--data-dir', '--runs-dir'])('an unusable %s leaves no other folder', async (option) => {
  const folder = temporaryFolder();
  const places = ['--data-dir', path.join(folder, 'data', 'sets'), '--runs-dir', path.join(folder, 'runs')];
  await refused(
    ['train', '--config', 'tiny', ...places, option, '/dev/null/x'],
    new RegExp(`^locmoe: ${option} /dev/null/x: /dev/null is not a folder\n$`),
  );
  expect(readdirSync(folder)).toEqual([]);
});

describe('a configuration is refused before anything starts', () => {
  it.each([
    ['model.numHeads=3', /model\.numHeads: dModel 32 is not divisible by numHeads 3/],
    ['moe.numExperts=5', /moe\.numExperts: 5 experts cannot be spread evenly over 2 workers/],
    [
      'moe.router=best',
      /--set moe\.router=best: moe\.router: must be one of deepseek, expert-choice, hash, /,
    ],
    ['train.lora.rank=0', /--set train\.lora\.rank=0: train\.lora\.rank: must be /],
    ['train.lora={rank: 2, on: [mlp]}', /: train\.lora\.on\.0: must be one of attention, experts/],
    [
      'train.lora.rank=2',
      /^locmoe: train\.lora: .* the weights of another run; say of which with --init RUN$/m,
    ],
    ['moe.numExperts=100000000', /a rank would hold [\d,]+ parameters .* this machine .* has [\d.]+ GB/],
    ['data.domains=[en, klingon]', /^locmoe: --set .*unknown domain "klingon"; known domains are en/],
  ])('with %s', (set, pattern) => refused(withSet(set), pattern));

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

  it('a field in a file, with its line', () =>
    refused(
      trainArguments({
        folder: temporaryFolder(),
        nodes: 1,
        workersPerNode: 1,
        config: MICRO.replace('steps: 30', 'steps: none'),
      }),
      /micro\.yaml:\d+:\d+ train\.steps: /,
    ));

  it('a folder for the runs that is a file', async () => {
    const args = trainArguments({ folder: temporaryFolder(), nodes: 1, workersPerNode: 1 });
    const file = args[args.indexOf('--config') + 1];
    const withFile = args.map((arg, i) => (args[i - 1] === '--runs-dir' ? file : arg));
    for (const more of [[], ['--resume']])
      await refused(
        [...withFile, ...more],
        new RegExp(`^locmoe: --runs-dir ${file}: ${file} is not a folder$`, 'm'),
      );
  });

  it('more shared memory than /dev/shm has', async () => {
    // More than machines have: 1 GiB for each of 2 x 15 x 16 pairs of ranks in a node, and as many between nodes.
    const folder = temporaryFolder();
    const sets = ['cluster.ringBytes=1073741824', 'moe.numExperts=32', 'train.globalBatch=32'];
    const dataDir = path.join(folder, 'data');
    const args = trainArguments({ folder, nodes: 2, workersPerNode: 16, sets, dataDir });
    await refused(args, /locmoe: .*needs \d+ bytes in \/dev\/shm.*cluster\.ringBytes/);
    // The command is refused before any text is prepared.
    expect(readdirSync(folder)).toEqual(['micro.yaml']);
  });
});

it('what is no regular file is refused in its place', async () => {
  const folder = temporaryFolder();
  const pipe = path.join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const isPipe = new RegExp(`${pipe}:? is no regular file but a pipe`);
  const train = ['train', '--runs-dir', path.join(folder, 'runs'), '--data-dir', path.join(folder, 'data')];
  await refused([...train, '--config', pipe], isPipe);
  await refused([...train, '--config', 'tiny', '--set', `data.tokenizer=${pipe}`], isPipe);
  await refused([...train, '--text', pipe], isPipe);
  await refused(['data', 'inspect', '--text', pipe], isPipe);
  await refused(['eval', '--checkpoint', folder, '--task', pipe], isPipe);
  await refused(['status', '--coordinator', '127.0.0.1:1', '--token-file', pipe], isPipe);
  await refused([...train, '--config', '/proc/kmsg'], /kmsg:? is no regular file but one of the kernel's/);
  await refused([...train, '--text', '/proc/**'], /"\/proc\/\*\*" is of files that the kernel makes/);
  expect(readdirSync(folder)).toEqual(['pipe']);
});

describe('a checkpoint is refused', () => {
  let folder: string;
  let good: string;

  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'locmoe-refusals-'));
    good = trainedCheckpoint(folder, 'switch').folder;
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function copy(): string {
    const folder = path.join(temporaryFolder(), path.basename(good));
    cpSync(good, folder, { recursive: true });
    return folder;
  }

  const generate = (checkpoint: string, ...more: string[]) => [
    'generate',
    '--checkpoint',
    checkpoint,
    '--prompt',
    'a',
    '--domain',
    'code',
    ...more,
  ];
  const cannotLoad = (args: readonly string[], pattern: RegExp) => expectRefusal(4, args, pattern);

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

  it('when there is none', async () => {
    await refused(generate('/nowhere'), /there is no checkpoint in \/nowhere/);
    await refused(
      ['train', '--config', 'tiny', '--init', '/tmp'],
      /^locmoe: there is no checkpoint in \/tmp: give a step folder, /,
    );
  });

  it.each<[part: string, sets: string[], why: RegExp]>([
    ['another width', ['model.dModel=64'], /does not fit .*: model\.dModel is \d+ there and 64 in this run/],
    [
      'another router',
      ['moe.router=hash'],
      /does not fit .*: moe\.router is switch there and hash in this run/,
    ],
    [
      'domains in another order',
      ['data.domains=[code, en]'],
      /is \[en, code\] there and \[code, en\] in this/,
    ],
    [
      'other domains',
      ['data.domains=[en, zh]'],
      /data\.domains is \[en, code\] there and \[en, zh\] in this run\n/,
    ],
    // These are refused after the text is prepared.
    ['another tokenizer', ['data.maxBytesPerDomain=30000'], /does not fit .*: tokenizer SHA-256 is /],
    ['no step to do', ['train.steps=6'], /has done 6 steps, and train\.steps is 6; .*train\.steps=12/],
  ])('for a run with %s', async (_, sets, why) => {
    const folder = copy();
    const manifest = JSON.parse(readFileSync(path.join(folder, 'manifest.json'), 'utf8'));
    manifest.config.data.domains = ['en', 'code'];
    delete manifest.checksum;
    writeManifest(folder, manifest);
    const places = ['--runs-dir', path.join(folder, 'runs'), '--data-dir', path.join(folder, 'data')];
    const changes = ['train.steps=30', ...sets].flatMap((set) => ['--set', set]);
    const { code, stderr } = await runCommand('train', '--resume', folder, ...places, ...changes);
    expect([code, stderr]).toEqual([2, expect.stringMatching(why)]);
  });

  it.each([
    [['--domain', 'xx'], /--domain xx: .*prose, code/],
    [['--interactive'], /give either --prompt TEXT/],
    [['--system', 'b'], /^locmoe: --system is for models with a template/],
    [['--top-p', '1.5'], /--top-p.*above 0 and at most 1/],
    [['--repetition-penalty', '0'], /--repetition-penalty.*above 0/],
  ])('by generate with %j', (more, pattern) => refused(generate(good, ...more), pattern));

  it('by generate without a prompt', () =>
    refused(['generate', '--checkpoint', good], /give either --prompt TEXT/));

  it.each([
    [['--task', 'no\x1b[2Jwhere.csv'], /^locmoe: no.*where\.csv cannot be read .*ENOENT/],
    [['--task', 'own.jsonl', '--shots', '2'], /^locmoe: --shots and --dev are given together/],
    [['--cloze', '--shots', '2'], /^locmoe: --shots does not go with --cloze/],
    [['--limit', '2'], /^locmoe: --limit goes with --task/],
    [['--compare', 'one'], /^locmoe: --checkpoint does not go with --compare/],
  ])('by eval with %j', (more, pattern) => refused(['eval', '--checkpoint', good, ...more], pattern));

  it('by an export without a place for it, or to a format that cannot hold what is asked for', async () => {
    const taken = temporaryFolder();
    writeFileSync(path.join(taken, 'notes'), 'mine');
    const to = (format: string) => ['export', '--checkpoint', good, '--to', format, '--output', taken];
    await refused(to('huggingface'), /--output .*: it exists and `locmoe export` did not write it/);
    await refused([...to('onnx'), '--dtype', 'bfloat16'], /--dtype bfloat16: --to onnx writes float32 only/);
    await refused(
      [...to('gguf'), '--dtype', 'bfloat16'],
      /--dtype bfloat16: --to gguf writes float32 or float16 or q8_0 or q4_k/,
    );
    expect(readdirSync(taken)).toEqual(['notes']);
  });

  it.each([
    [['--sub-model'], /--sub-model: say of which domain with --domain NAME/],
    [['--to', 'onnx', '--domain', 'en'], /--domain is for --sub-model alone/],
    [
      ['--to', 'onnx', '--sub-model', '--domain', 'en'],
      /give one of --to FORMAT \(onnx, .*\) and --sub-model/,
    ],
    [[], /give one of --to FORMAT/],
    [['--sub-model', '--domain', 'en', '--dtype', 'bfloat16'], /--sub-model writes float32 only/],
  ])('by export with %j', (more, pattern) =>
    refused(['export', '--checkpoint', '/tmp', '--output', '/tmp/none', ...more], pattern),
  );
});

it.each([
  [['train'], /--config FILE or --config RECIPE/],
  [['train', '--config', 'nowhere.yaml'], /nowhere\.yaml.*recipes: .*tiny/],
  [['train', '--nodes', 'two'], /--nodes.*whole number/],
  [['train', '--text', 'none/*.txt'], /no file matches "none\/\*\.txt"/],
  [
    ['train', '--text', 'package.json', '--config', 'tiny'],
    /'--text <pattern...>' cannot be used with option '--config/,
  ],
  [['train', '--instruct', 'qa.jsonl'], /^locmoe: --instruct fine-tunes a checkpoint: say which with --init/],
  [['train', '--print-config'], /--print-config is for --text/],
  [
    ['train', '--text', 'package.json', '--init', 'smollm', '--print-config'],
    /prints the recipe of a new model; `locmoe config show --checkpoint DIR` prints that of the weights/,
  ],
  [['config', 'show'], /give one of --config FILE and --checkpoint DIR/],
  // Refused before any text is prepared.
  [
    ['serve', '--config', 'tiny', '--data-dir', '/dev/null/x', '--http', '0.0.0.0:0'],
    /--http 0\.0\.0\.0:0 can be reached from other machines: give --token-file FILE/,
  ],
  [
    ['serve', '--config', 'tiny', '--listen', '0.0.0.0:0'],
    /can be reached from other machines: give --tls DIR \(locmoe certs --out DIR/,
  ],
  [['logs', '--level', 'loud'], /--level/],
  [['logs', '--since', 'yesterday-ish'], /--since.*duration/],
  [['generate'], /required option/],
  [['eval'], /^locmoe: --checkpoint is missing/],
  [['status', '--run', 'no-such-run'], /run no-such-run: .* no readable run\.json/],
  [['status', '--coordinator', '127.0.0.1:1'], /no coordinator answers at 127\.0\.0\.1:1/],
  [['inspect', '--runs-dir', '/nowhere'], /no run here yet/],
  [['inspect', '--run', 'nothing'], /run nothing/],
  [['doctor', '--config', 'tyni'], /^locmoe: --config tyni: .*did you mean tiny\?\n$/],
  [['doctor', '--config', 'tiny', '--nodes', '3'], /numExperts: 8 experts cannot be spread/],
  [['bench', 'step', '--peer', 'jax'], /argument 'jax' is invalid\. Allowed choices are torch\./],
  [['bench', 'collectives', '--only', '3x3'], /^locmoe: --only 3x3: expected one of layouts, .*\n$/],
  [
    ['bench', 'routers', '--only', 'random'],
    /^locmoe: --set moe\.router=random: moe\.router: must be one of deepseek, expert-choice, hash, .*\n$/,
  ],
  // Refused before any training.
  [
    ['bench', 'routers', '--quick', '--only', 'hash', '--out', '/dev/null/x', '--work-dir', '/dev/null/x'],
    /^locmoe: --(?:out|work-dir) \/dev\/null\/x: \/dev\/null is not a folder\n$/,
  ],
])('%j is refused', (args, pattern) => refused(args, pattern));
