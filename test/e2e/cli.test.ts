import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { meanLoss } from '@locmoe/run-format';
import { expect, it } from 'vitest';
import { COMMANDS } from '../../src/cli/commands.js';
import {
  CLI,
  Locmoe,
  locmoe,
  newestRun,
  ROOT,
  startTraining,
  temporaryFolder,
  trainArguments,
  UNHURRIED,
} from './support.js';

/** An option of Node that makes the process report at its end whether it has loaded TensorFlow. */
const TELLS = `--import=data:text/javascript,${encodeURIComponent(
  `import { readFileSync } from 'node:fs';
  process.on('exit', () => {
    if (readFileSync('/proc/self/maps', 'utf8').includes('tfjs_binding')) console.error('loaded TensorFlow');
  });`,
)}`;

it('--help lists every command and the exit codes', async () => {
  const { code, stdout } = await locmoe('--help');
  expect(code).toBe(0);
  for (const command of Object.keys(COMMANDS)) expect(stdout).toContain(`  ${command}`);
  expect(stdout).toContain('130 interrupted');
});

it('no command loads TensorFlow before it is run', async () => {
  const load = `const { COMMANDS } = await import('${ROOT}/dist/cli/commands.js');
    for (const { load } of Object.values(COMMANDS)) await load();
    await import('@locmoe/bench');
    console.log('loaded', Object.keys(COMMANDS).length);`;
  const node = [process.execPath, '--input-type=module', '--eval', load];
  const { code, stdout, stderr } = await new Locmoe([], { NODE_OPTIONS: TELLS }, node).finished;
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(/^loaded \d+\n$/);
});

it('explains a command, without TensorFlow', async () => {
  const { code, stdout, stderr } = await new Locmoe(['train', '--help'], { NODE_OPTIONS: TELLS }).finished;
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(/--workers-per-node <n> +\S{3}/);
});

it('commands are printed as the one that prints them was typed, and npx is kept from fetching a package', async () => {
  const folder = temporaryFolder();
  const bin = path.join(folder, 'node_modules/.bin');
  mkdirSync(bin, { recursive: true });
  const file = path.join(bin, 'locmoe');
  symlinkSync(CLI, file);
  const status = ['status', '--run', path.join(ROOT, 'packages/run-format/test/fixtures/run-0.1.0')];
  const printed = async (program: readonly string[], PATH = process.env.PATH!) => {
    const { stdout, stderr } = await new Locmoe(
      status,
      { PATH, npm_command: '', npm_config_package: '' },
      program,
      folder,
    ).finished;
    expect(stdout, stderr).toMatch(/^ {2}look: /m);
    return /^ {2}look: (.*) inspect --run \/\S+\/run-0\.1\.0$/m.exec(stdout)?.[1];
  };
  const ways = [
    printed(['npx', 'locmoe']),
    printed(['locmoe'], `${bin}:${process.env.PATH}`),
    printed([file], `${path.dirname(process.execPath)}:/usr/bin:/bin`),
  ];
  const [byNpx, ...others] = await Promise.all(ways);
  expect([byNpx, ...others]).toEqual(['npx --no-install locmoe', 'locmoe', file]);
  expect(await printed(byNpx!.split(' '))).toBe(byNpx);
});

it('a live run answers status and logs, and is followed to its end', async () => {
  const folder = temporaryFolder();
  const run = startTraining({
    folder,
    nodes: 1,
    workersPerNode: 2,
    sets: ['train.steps=100000', 'logLevel=debug'],
    env: UNHURRIED,
  });
  await run.until(/step +\d+\/100000/);
  const runs = ['--runs-dir', `${folder}/runs`];
  const status = await locmoe('status', '--json', ...runs);
  expect(JSON.parse(status.stdout)).toMatchObject({
    state: 'running',
    generation: 1,
    steps: 100000,
    workers: [0, 1].map((rank) => ({ rank, phase: expect.any(String), pid: run.pidsOf('worker')[rank] })),
  });
  expect((await locmoe('status', ...runs)).stdout).toMatch(
    /running, generation 1\n {2}step \d+\/100000 .*\n.*\n {2}a restart would .*\n.*\n {2}rank 0.*\n {2}rank 1.*\n {2}state: .*\b[RS] (runs|sleeps)/,
  );

  const follower = new Locmoe(['logs', '--follow', '--json', '--rank', '1', '--since', '1s', ...runs]);
  await follower.until(/"step":\d+.*"msg":"step"/);
  expect((await locmoe('stop', ...runs)).code).toBe(0);
  expect((await run.finished).code).toBe(130);
  const records = (await follower.finished).stdout.trim().split('\n');
  expect(new Set(records.map((line) => JSON.parse(line).rank))).toEqual(new Set([1]));

  const over = await locmoe('status', '--json', ...runs);
  expect(over.code).toBe(0);
  expect(JSON.parse(over.stdout)).toMatchObject({ state: 'stopped', stopped: 'locmoe stop', failure: null });
  expect(await locmoe('stop', ...runs)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('is not going on'),
  });
  const human = await locmoe('logs', '--level', 'info', '--rank', '0', ...runs);
  expect(human.stdout).toMatch(/INFO.*node 0 rank 0.*training from step 1 to 100000/);
  expect(human.stdout).not.toMatch(/rank 1/);
});

it('a finished run is evaluated by one process as two ranks did while it was trained', async () => {
  const sets = ['train.validationSequences=8', 'train.steps=1'];
  const folder = temporaryFolder();
  const words = trainArguments({ folder, nodes: 1, workersPerNode: 2, sets });
  const trained = await new Locmoe(words.filter((word) => word !== '--no-samples')).finished;
  expect(trained.code, trained.stdout + trained.stderr).toBe(0);
  const run = newestRun(folder);
  const { code, stdout } = await locmoe('eval', '--checkpoint', run, '--json');
  expect(code).toBe(0);
  const { step, sameAsTraining, domains } = JSON.parse(stdout);
  expect({ step, sameAsTraining }).toEqual({ step: 1, sameAsTraining: true });
  const summary = JSON.parse(readFileSync(`${run}/summary.json`, 'utf8'));
  for (const [i, { domain, loss, tokens }] of domains.entries()) {
    const trained = summary.validation.domains[i];
    expect({ domain, tokens }).toEqual({ domain: trained.domain, tokens: trained.tokens });
    expect(loss).toBeCloseTo(trained.loss, 4);
  }
  const random = await locmoe('eval', '--checkpoint', run, '--routes', 'random', '--json');
  const perplexity = Math.exp(meanLoss(JSON.parse(random.stdout))).toFixed(1);
  expect(summary.meaning.at(-1)).toMatch(new RegExp(`experts drawn at random, .* ${perplexity}\\.$`));
  expect(trained.stdout).toContain(`\nwhat it means\n${summary.meaning.join('\n')}\n`);
  const fewer = await locmoe('eval', '--checkpoint', run, '--sequences', '3');
  expect(fewer.stdout).toContain('read other tokens: up to 8 sequences of each domain.\n');
});
