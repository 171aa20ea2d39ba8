import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DATA_DIR, ROOT } from './support.js';

const EXAMPLES = path.join(ROOT, 'examples');
/** A folder in which the examples train one after the other; later ones use the runs of earlier ones. */
let folder = '';

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'locmoe-examples-'));
  mkdirSync(DATA_DIR, { recursive: true });
  symlinkSync(DATA_DIR, path.join(folder, 'data'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(example: string, ...args: string[]): string {
  const command = [path.join(EXAMPLES, example), ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { cwd: folder, encoding: 'utf8' });
  expect(status, stdout + stderr).toBe(0);
  expect(stderr).toBe('');
  return stdout;
}

const programs = readdirSync(EXAMPLES).filter((name) => name.endsWith('.mjs'));

it('are short, import the public API alone, and are all named in their README', () => {
  const readme = readFileSync(path.join(EXAMPLES, 'README.md'), 'utf8');
  for (const name of programs) {
    const source = readFileSync(path.join(EXAMPLES, name), 'utf8');
    const most = name === 'my-router.mjs' ? 60 : 40;
    expect(source.trimEnd().split('\n').length, name).toBeLessThanOrEqual(most);
    for (const [, from] of source.matchAll(/from '([^']+)'/g))
      expect(from, name).toMatch(/^(?:locmoe(?:\/routing)?$|node:|@duckdb\/node-api$)/);
    expect(readme).toContain(`](${name})`);
  }
});

it('train.mjs trains and follows the run', () => {
  const out = run('train.mjs', '10');
  expect(out).toMatch(/^step 10: loss \d\.\d+, \d+ tokens\/s$/m);
  expect(out).toMatch(/^saved \S+step-000010$/m);
  expect(out).toMatch(/^done: \S+\/runs\/tiny-/m);
});

it('resume.mjs stops at half of the steps and goes on', () => {
  const out = run('resume.mjs', '8');
  const [, step] = /^stopped at step (\d+): half of it is done; saved \S+step-/m.exec(out) ?? [];
  expect(Number(step)).toBeGreaterThanOrEqual(4);
  expect(Number(step)).toBeLessThan(8);
  expect(out).toMatch(/^went on to step 8 in the same run: true$/m);
});

it('generate.mjs continues a text', () => {
  const out = run('generate.mjs', 'The');
  expect(out).toMatch(/^The(?:.|\n)+\nlog-likelihoods of " cat" and " of": -\d+\.\d+, -\d+\.\d+\n$/);
});

it('evaluate.mjs computes the losses of each checkpoint', () => {
  const out = run('evaluate.mjs');
  expect(out).toMatch(/^step 8, en: loss \d\.\d{4}, perplexity \d+\.\d on \d+ tokens$/m);
});

it('metrics.mjs reads the runs so far', () => {
  const out = run('metrics.mjs');
  expect(out).toMatch(/^tiny-\S+: finished, 10 steps, \d+ tokens, median \d+ ms$/m);
  expect(out).toMatch(/^tiny-\S+: finished, 8 steps, /m);
  expect(out).toMatch(/^ {2}layer \d+: \d+ of \d+ choices kept; by expert \d+ /m);
});

it('routers.mjs compares routers', () => {
  const out = run('routers.mjs', '1', 'hash', 'switch');
  expect(out).toMatch(/^hash: loss \d\.\d{3}, validation en \d\.\d{3}.*\nswitch: loss /m);
});

it('routes.mjs records choices, and DuckDB answers', () => {
  const out = run('routes.mjs', '8');
  // A quarter of eight experts a domain: each layer and expert has a row, then each layer and step but the first.
  expect(out.match(/│ [23] +│ [0-7] +│ \d+ +│ [\d.]+ +│ [\d.]+ +│ '\w+' +│/g)).toHaveLength(16);
  expect(out.match(/│ [23] +│ [468] +│ 0\.\d+ +│/g)).toHaveLength(6);
  expect(out).toMatch(/Which links carry how many bytes\?/);
});

it('own-router.mjs trains with the router that docs/extending.md shows', () => {
  const out = run('own-router.mjs', '2');
  expect(out).toMatch(/^step 2: loss \d\.\d{3}$/m);
  expect(out).toMatch(/^the checkpoint knows its router: \S+my-router\.mjs#sha256=[0-9a-f]{64}, span 16$/m);
  const page = readFileSync(path.join(ROOT, 'docs/extending.md'), 'utf8');
  expect(page).toContain(readFileSync(path.join(EXAMPLES, 'my-router.mjs'), 'utf8'));
});

it('own-text.mjs trains on files of one’s own', () => {
  const out = run('own-text.mjs', path.join(ROOT, 'docs/decisions/*.md'), '3');
  expect(out).toMatch(/^\S+: \d+ tokens to train on; without context \d\.\d\d nats per token$/m);
  expect(out).toMatch(/^\S+: \d+\.\d\d nats per token$/m);
});

it('a training leaves the signal handlers and the exit code of its process alone, and rejects what is wrong', () => {
  const program = `
    import { train } from 'locmoe';
    const places = { runsDir: '${folder}/runs', dataDir: '${folder}/data' };
    const wrong = train({ config: 'tiny', set: { 'moe.router': 'swich' }, ...places });
    await wrong.result.catch(({ code, message }) => console.log(code, message));
    const before = AbortSignal.abort(new Error('before'));
    await train({ config: 'tiny', signal: before, ...places }).result.catch(({ message }) => console.log(message));
    const set = { 'train.steps': 2, 'train.warmupSteps': 0 };
    for await (const { type } of train({ config: 'tiny', set, nodes: 1, workersPerNode: 1, ...places })) {
      if (type !== 'step') continue;
      const heard = ['SIGINT', 'SIGTERM', 'SIGHUP', 'uncaughtException'].map((name) => process.listenerCount(name));
      console.log('step', ...heard, process.hasUncaughtExceptionCaptureCallback());
    }
    console.log(process.exitCode);`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  expect(stdout.split('\n')).toEqual([
    expect.stringMatching(/^BAD_CONFIG --set moe\.router="swich": .*did you mean switch\?$/),
    'before',
    'step 0 0 0 0 false',
    'step 0 0 0 0 false',
    'undefined',
    '',
  ]);
});
