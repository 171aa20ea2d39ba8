import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NIGHTLY } from '../nightly.js';
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

function run(words: readonly string[], options: readonly string[] = []): string {
  const [example = '', ...args] = words;
  const command = [...options, path.join(EXAMPLES, example), ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { cwd: folder, encoding: 'utf8' });
  expect(status, stdout + stderr).toBe(0);
  expect(stderr).toBe('');
  return stdout;
}

const read = (place: string) => readFileSync(path.join(ROOT, place), 'utf8');

it('are short, import the public API alone, and stand in the documentation', () => {
  for (const name of readdirSync(EXAMPLES).filter((each) => each.endsWith('.mjs'))) {
    const source = read(`examples/${name}`);
    const most = name === 'my-router.mjs' ? 25 : 40;
    expect(source.trimEnd().split('\n').length, name).toBeLessThanOrEqual(most);
    for (const [, from] of source.matchAll(/from '([^']+)'/g))
      expect(from, name).toMatch(/^(?:locmoe(?:\/routing)?$|node:|@duckdb\/node-api$)/);
    expect(read('examples/README.md')).toContain(`](${name})`);
  }
  expect(read('docs/extending.md')).toContain(read('examples/my-router.mjs'));
});

it('resume.mjs stops at half of the steps and goes on', () => {
  const out = run(['resume.mjs', '4']);
  const [, step] = /^stopped at step (\d+): half of it is done; saved \S+step-/m.exec(out) ?? [];
  expect(Number(step)).toBeGreaterThanOrEqual(2);
  expect(Number(step)).toBeLessThan(4);
  expect(out).toMatch(/^went on to step 4 in the same run: true$/m);
});

it('generate.mjs continues a text', () => {
  const out = run(['generate.mjs', 'The']);
  expect(out).toMatch(/^The(?:.|\n)+\nlog-likelihoods of " cat" and " of": -\d+\.\d+, -\d+\.\d+\n$/);
});

it('evaluate.mjs computes the losses of each checkpoint', () => {
  expect(run(['evaluate.mjs'])).toMatch(/^step 4, en: loss \d\.\d{4}, perplexity \d+\.\d on \d+ tokens$/m);
});

it('metrics.mjs reads the runs so far', () => {
  const out = run(['metrics.mjs']);
  expect(out).toMatch(/^tiny-\S+: finished, 4 steps, \d+ tokens, median \d+ ms$/m);
  expect(out).toMatch(/^ {2}layer \d+: \d+ of \d+ choices kept; by expert \d+ /m);
});

/** Prints at the end of a program how many listeners a signal or uncaught errors had at most, and the exit code. */
const WATCH = `import { isMainThread } from 'node:worker_threads';
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP', 'uncaughtException'];
  let most = 0;
  const look = () => { most = Math.max(most, ...names.map((name) => process.listenerCount(name))); };
  process.on('newListener', () => setImmediate(look));
  if (isMainThread) process.on('exit', (code) => {
    console.log('listeners', most, process.hasUncaughtExceptionCaptureCallback(), code, process.exitCode);
  });`;

it('own-text.mjs trains on files of one’s own, and leaves signal handlers and exit code of its process alone', () => {
  const watching = `--import=data:text/javascript,${encodeURIComponent(WATCH)}`;
  const out = run(['own-text.mjs', path.join(ROOT, 'docs/decisions/*.md'), '3'], [watching]);
  expect(out).toMatch(/^\S+: \d+ tokens to train on; without context \d\.\d\d nats per token$/m);
  expect(out).toMatch(/^the recipe for it: \d+ sparse layers, \d+ experts$/m);
  expect(out).toMatch(/^\S+: \d\.\d\d nats per token\nlisteners 0 false 0 undefined\n$/m);
});

// By day own-router.test.ts trains with this router, routes.test.ts asks DuckDB, and resume.mjs trains.
describe.runIf(NIGHTLY)('by night', () => {
  it('train.mjs trains and follows the run', () => {
    const out = run(['train.mjs', '10']);
    expect(out).toMatch(/^step 10: loss \d\.\d+, \d+ tokens\/s$/m);
    expect(out).toMatch(/^saved \S+step-000010$/m);
    expect(out).toMatch(/^done: \S+\/runs\/tiny-/m);
  });

  it('routers.mjs compares routers', () => {
    const out = run(['routers.mjs', '1', 'hash', 'switch']);
    expect(out).toMatch(/^hash: loss \d\.\d{3}, validation en \d\.\d{3}.*\nswitch: loss /m);
  });

  it('routes.mjs records choices, and DuckDB answers', () => {
    const out = run(['routes.mjs', '8']);
    // A domain has a quarter of eight experts: each layer and expert has a row, then each layer and step but the first.
    expect(out.match(/│ [23] +│ [0-7] +│ \d+ +│ [\d.]+ +│ [\d.]+ +│ '\w+' +│/g)).toHaveLength(16);
    expect(out.match(/│ [23] +│ [468] +│ 0\.\d+ +│/g)).toHaveLength(6);
    expect(out).toMatch(/Which links carry how many bytes\?/);
  });

  it('own-router.mjs trains with a router of its own', () => {
    const out = run(['own-router.mjs', '2']);
    expect(out).toMatch(/^step 2: loss \d\.\d{3}$/m);
    expect(out).toMatch(
      /^the checkpoint knows its router: \S+my-router\.mjs#sha256=[0-9a-f]{64}, choices 1$/m,
    );
  });
});
