import { describe, expect, it } from 'vitest';
import {
  Locmoe,
  locmoe,
  newestRun,
  startTraining,
  temporaryFolder,
  trainToTheEnd,
  UNHURRIED,
} from './support.js';

/** An option of Node: the process says at its end if it has loaded TensorFlow. */
const TELLS = `--import=data:text/javascript,${encodeURIComponent(
  `import { readFileSync } from 'node:fs';
  process.on('exit', () => {
    if (readFileSync('/proc/self/maps', 'utf8').includes('tfjs_binding')) console.error('loaded TensorFlow');
  });`,
)}`;

describe('--help', () => {
  it('lists every command and the exit codes', async () => {
    const { code, stdout } = await locmoe('--help');
    expect(code).toBe(0);
    for (const command of [
      'train',
      'serve',
      'node',
      'status',
      'logs',
      'inspect',
      'flight',
      'stop',
      'health',
      'certs',
      'generate',
      'api',
      'eval',
      'bench',
      'plan',
    ])
      expect(stdout).toContain(`  ${command}`);
    expect(stdout).toContain('130 interrupted');
  });

  it.each([
    ['train', ['--config', '--set', '--nodes', '--workers-per-node', '--resume']],
    ['node', ['--coordinator']],
    ['status', ['--run', '--coordinator', '--json']],
    ['stop', ['--run', '--coordinator']],
    ['logs', ['query', '--rank', '--level', '--since', '--context', '--follow']],
    ['inspect', ['--run', '--runs-dir', '--http', '--token-file']],
    ['flight', ['--runs-dir', '--generation', '--last', '--json']],
    ['generate', ['--checkpoint', '--prompt', '--domain', '--interactive', '--stop', '--top-p']],
    ['api', ['--checkpoint', '--host', '--port', '--token-file', '--max-waiting']],
    ['eval', ['--checkpoint', '--sequences']],
    ['bench', ['routers']],
  ])('explains %s', async (command, options) => {
    const { code, stdout, stderr } = await new Locmoe([command, '--help'], { NODE_OPTIONS: TELLS }).finished;
    expect(code).toBe(0);
    for (const option of options) expect(stdout).toMatch(new RegExp(`${option}\\b.*\\S{3}`));
    // Nor is TensorFlow loaded for it.
    expect(stderr).toBe('');
  });
});

describe('a live run', () => {
  it('answers status and logs, and is followed to its end', async () => {
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
      workers: [
        { rank: 0, phase: expect.any(String), pid: run.pidsOf('worker')[0] },
        { rank: 1, phase: expect.any(String), pid: run.pidsOf('worker')[1] },
      ],
    });
    expect((await locmoe('status', ...runs)).stdout).toMatch(
      /running, generation 1\n {2}step \d+\/100000 .*\n.*\n.*\n {2}rank 0.*\n {2}rank 1.*\n {2}state: .*\b[RS] (runs|sleeps)/,
    );

    const follower = new Locmoe(['logs', '--follow', '--json', '--rank', '1', '--since', '1s', ...runs]);
    await follower.until(/"step":\d+.*"msg":"step"/);
    expect((await locmoe('stop', ...runs)).code).toBe(0);
    expect((await run.finished).code).toBe(130);
    const { stdout } = await follower.finished;
    const records = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(new Set(records.map(({ rank }) => rank))).toEqual(new Set([1]));

    const over = await locmoe('status', '--json', ...runs);
    expect(over.code).toBe(0);
    expect(JSON.parse(over.stdout)).toMatchObject({
      state: 'stopped',
      stopped: 'locmoe stop',
      loss: expect.any(Number),
      failure: null,
    });
    expect(await locmoe('stop', ...runs)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('is not going on'),
    });
    const human = await locmoe('logs', '--level', 'info', '--rank', '0', ...runs);
    expect(human.stdout).toMatch(/INFO.*node 0 rank 0.*training from step 1 to 100000/);
    expect(human.stdout).not.toMatch(/rank 1/);
  });
});

describe('a finished run', () => {
  it('generates the same text for the same seed, and evaluates by domain', async () => {
    const folder = temporaryFolder();
    const run = await trainToTheEnd({
      folder,
      nodes: 2,
      workersPerNode: 1,
      sets: ['train.validationSequences=8'],
    });
    expect(run).toBe(newestRun(folder));
    const generate = (seed: string, domain = 'en') =>
      locmoe(
        'generate',
        '--checkpoint',
        run,
        '--prompt',
        'The',
        '--domain',
        domain,
        '--seed',
        seed,
        '--max-tokens',
        '20',
      );
    const [first, again, other] = [await generate('1'), await generate('1'), await generate('2')];
    expect(first.code, first.stderr).toBe(0);
    expect(first.stdout).toMatch(/^The[\s\S]+/);
    expect(again.stdout).toBe(first.stdout);
    expect(other.stdout).not.toBe(first.stdout);

    const { code, stdout } = await locmoe('eval', '--checkpoint', run, '--json');
    expect(code).toBe(0);
    const { step, sameAsTraining, domains } = JSON.parse(stdout);
    expect({ step, sameAsTraining }).toEqual({ step: 30, sameAsTraining: true });
    const { readFileSync } = await import('node:fs');
    const summary = JSON.parse(readFileSync(`${run}/summary.json`, 'utf8'));
    // The run's own last validation was done by two ranks; one process finds the same.
    for (const [i, { domain, loss, tokens }] of domains.entries()) {
      expect(domain).toBe(summary.validation.domains[i].domain);
      expect(tokens).toBe(summary.validation.domains[i].tokens);
      expect(loss).toBeCloseTo(summary.validation.domains[i].loss, 4);
    }
    const fewer = await locmoe('eval', '--checkpoint', run, '--sequences', '3');
    expect(fewer.stdout).toContain('read other tokens: up to 8 sequences of each domain.\n');
  });
});
