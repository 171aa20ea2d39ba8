import { once } from 'node:events';
import { cpSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { majorOf } from '../../scripts/node-versions.mjs';
import { CLI, type Finished, Locmoe, locmoe, ROOT, temporaryFolder, trainArguments } from './support.js';

/** Expects a refusal: exit code 2, one line on standard error and no stack trace. */
function expectRefusal({ code, stderr, stdout }: Finished, pattern: RegExp): void {
  expect(code, stdout + stderr).toBe(2);
  expect(stderr).toMatch(pattern);
  expect(stderr).not.toMatch(/\n\s+at /);
  expect(stderr.trim().split('\n').length, stderr).toBeLessThanOrEqual(2);
}

const refused = async (args: readonly string[], pattern: RegExp) =>
  expectRefusal(await locmoe(...args), pattern);
const refusedUnder = async (limit: string, args: readonly string[], pattern: RegExp) => {
  const shell = ['sh', '-c', `ulimit ${limit} && exec "$@"`, 'sh', process.execPath, CLI];
  expectRefusal(await new Locmoe(args, {}, shell).finished, pattern);
};
const training = (...sets: readonly string[]) =>
  trainArguments({ folder: temporaryFolder(), nodes: 1, workersPerNode: 1, sets });

/** The command of a checkout in which the text sources were not installed. */
function withoutCorpus(folder: string): string {
  const checkout = path.join(folder, 'checkout');
  // Set-up files are looked for beside the scripts after links are resolved, so the scripts are copied.
  for (const name of ['dist', 'scripts'])
    cpSync(path.join(ROOT, name), path.join(checkout, name), { recursive: true });
  for (const name of ['package.json', 'node_modules', 'proto', 'configs'])
    symlinkSync(path.join(ROOT, name), path.join(checkout, name));
  mkdirSync(path.join(checkout, 'corpus'));
  for (const name of ['package.json', 'package-lock.json'])
    cpSync(path.join(ROOT, 'corpus', name), path.join(checkout, 'corpus', name));
  return path.join(checkout, 'dist/cli/cli.js');
}

// Refusals that need no process of their own are tested in test/cli/refusals.test.ts.
it.each([
  [['frobnicate'], /unknown command 'frobnicate'/],
  [['help', 'frobnicate'], /unknown command 'frobnicate'/],
] as const)('%j is refused', (args, pattern) => refused(args, pattern));

it('a configuration with an unknown key is refused in one line', () =>
  refused(training('model.depth=3'), /^locmoe: --set model\.depth=3: model\.depth: unknown key[^\n]*\n$/));

it('a device in the place of a configuration is refused, by a process that may be ended if it reads on for ever', async () => {
  const folder = temporaryFolder();
  const folders = ['--runs-dir', path.join(folder, 'runs'), '--data-dir', path.join(folder, 'data')];
  await refused(
    ['train', ...folders, '--config', '/dev/zero'],
    /\/dev\/zero:? is no regular file but a device/,
  );
  expect(readdirSync(folder)).toEqual([]);
});

describe('what a run needs is missing', () => {
  it('the corpus', async () => {
    const folder = temporaryFolder();
    const args = trainArguments({ folder, nodes: 1, workersPerNode: 1, dataDir: path.join(folder, 'data') });
    const run = new Locmoe(args, {}, [process.execPath, withoutCorpus(folder)]);
    expectRefusal(
      await run.finished,
      /domain en: the text source \S+ is not installed in .*cli\.js setup --corpus/,
    );
  });

  it('open files', () => {
    // Node 20 opens many modules at once, later ones one after the other.
    const least = majorOf(process.versions.node) < 22 ? 64 : 28;
    return refusedUnder(
      `-n ${least}`,
      training(),
      /EMFILE: .*; raise the limit of open files: ulimit -n \d+$/m,
    );
  });

  it.each([
    ['a training', training],
    ['a node', () => ['node', '--coordinator', '127.0.0.1:9']],
  ])('address space for %s', (_, args) =>
    refusedUnder(
      '-v 48000000',
      args(),
      /^locmoe: the address space of a process is limited to 49 GB, .*: ulimit -v unlimited$/m,
    ),
  );

  it('address space for the command itself', () =>
    refusedUnder(
      '-v 8000000',
      ['data', 'inspect', '--text', 'docs/*.md'],
      /^locmoe: (?:WebAssembly|Worker).* memory.*; raise the limit of address space: ulimit -v unlimited$/im,
    ));

  it('a free port', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    onTestFinished(() => void server.close());
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await refused(
      [...training(), '--port', String(port)],
      new RegExp(`^locmoe: port ${port} on 127\\.0\\.0\\.1 cannot be used .*--port.*\\n$`),
    );
  });
});
