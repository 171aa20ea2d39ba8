import { cpSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
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
