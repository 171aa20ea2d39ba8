import { readFileSync } from 'node:fs';
import { globSync } from 'tinyglobby';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { FAILPOINTS } from '../src/failpoint.js';

const root = new URL('..', import.meta.url).pathname;
const textOf = (...patterns: readonly string[]) =>
  globSync(patterns, { cwd: root, absolute: true, ignore: ['**/node_modules/**', '**/dist/**'] })
    .filter((file) => file !== import.meta.filename)
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n');

/** The module as loaded by a new process: only the failpoints of its environment are armed. */
let started: typeof import('../src/failpoint.js');
beforeEach(async () => {
  vi.resetModules();
  started = await import('../src/failpoint.js');
});
afterEach(() => vi.unstubAllEnvs());

const enospc = expect.objectContaining({ code: 'ENOSPC' });

it('every failpoint is called somewhere, and a test strikes at it', () => {
  const calls = textOf('{src,packages/run-format/src}/**/*.ts').matchAll(
    /\b(?:failpoint|reached)\(\s*'([^']+)'/g,
  );
  const called = [...calls].map(([, name]) => name);
  expect([...new Set(called)].sort()).toEqual(Object.keys(FAILPOINTS).sort());
  const tests = textOf('{test,packages/*/test}/**/*.ts');
  for (const name of Object.keys(FAILPOINTS))
    expect(tests, `no test strikes at ${name}`).toMatch(new RegExp(`['.]${name.split('.').at(-1)}[':]`));
});

it('nothing happens by default, and the environment is read once', () => {
  started.failpoint('checkpoint.shard');
  vi.stubEnv('LOCMOE_FAIL', 'checkpoint.shard:full');
  started.failpoint('checkpoint.shard');
});

it('strikes at the named call, or range of calls, or every call, of that failpoint alone', async () => {
  vi.stubEnv('LOCMOE_FAIL', 'checkpoint.shard:2:full,checkpoint.listed:2-3:throw,checkpoint.aside:*:nan');
  const { failpoint } = started;
  const struck = (name: Parameters<typeof failpoint>[0]) =>
    [1, 2, 3, 4].map(() => {
      try {
        return failpoint(name) ?? '';
      } catch (error) {
        return (error as { code?: string }).code ?? (error as Error).message;
      }
    });
  expect(struck('checkpoint.shard')).toEqual(['', 'ENOSPC', '', '']);
  expect(struck('checkpoint.listed')).toEqual([
    '',
    'failpoint checkpoint.listed',
    'failpoint checkpoint.listed',
    '',
  ]);
  expect(struck('checkpoint.aside')).toEqual(['nan', 'nan', 'nan', 'nan']);
  expect(struck('checkpoint.marked')).toEqual(['', '', '', '']);
});

it('what is armed while a process runs counts from then on, and adds to its environment', () => {
  vi.stubEnv('LOCMOE_FAIL', 'checkpoint.listed:full');
  started.armFailpoint('checkpoint.shard:full');
  expect(() => started.failpoint('checkpoint.shard')).toThrow(enospc);
  started.failpoint('checkpoint.shard');
  started.armFailpoint('checkpoint.shard:full');
  expect(() => started.failpoint('checkpoint.shard')).toThrow(enospc);
  expect(() => started.failpoint('checkpoint.listed')).toThrow(enospc);
});

it('a place limits it to one rank and one generation', () => {
  vi.stubEnv('LOCMOE_FAIL', 'checkpoint.shard:full:rank=1:generation=2');
  started.failpoint('checkpoint.shard');
  started.placeFailpoints({ rank: 1, generation: 1 });
  started.failpoint('checkpoint.shard');
  started.placeFailpoints({ rank: 1, generation: 2 });
  expect(() => started.failpoint('checkpoint.shard')).toThrow(enospc);
});

it('a process in its next generation counts anew, and is rid of what was armed while it ran', () => {
  vi.stubEnv('LOCMOE_FAIL', 'checkpoint.shard:2:full');
  started.placeFailpoints({ rank: 1, generation: 1 });
  started.armFailpoint('checkpoint.listed:full');
  started.failpoint('checkpoint.shard');
  started.placeFailpoints({ rank: 0, generation: 2 });
  started.failpoint('checkpoint.listed');
  started.failpoint('checkpoint.shard');
  expect(() => started.failpoint('checkpoint.shard')).toThrow(enospc);
});

it('blocks for the time that it is given', () => {
  const wait = vi.spyOn(Atomics, 'wait').mockReturnValue('timed-out');
  started.armFailpoint('checkpoint.shard:sleep=50');
  started.failpoint('checkpoint.shard');
  expect(wait).toHaveBeenCalledExactlyOnceWith(expect.anything(), 0, 0, 50);
  wait.mockRestore();
});

it.each([
  ['checkpoint.shrad', /no failpoint "checkpoint.shrad"; there are .*checkpoint\.shard/],
  ['checkpoint.shard:burn', /"burn" is no part of NAME.*kill, exit, stop/],
  ['checkpoint.shard:0', /"0" is no part of/],
  ['', /no failpoint ""/],
])('refuses %j', (specification, message) => {
  expect(() => started.armFailpoint(specification)).toThrow(
    expect.objectContaining({ code: 'BAD_INPUT', message: expect.stringMatching(message) }),
  );
});
