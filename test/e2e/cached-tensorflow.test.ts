import { appendFileSync, cpSync, existsSync, mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { hasTensorFlow, probeTensorFlow } from '../../scripts/tensorflow.mjs';
import { skipLoudly } from '../debian-tool.js';
import { Locmoe, ROOT, temporaryFolder } from './support.js';

const ADDON = 'lib/napi-v8/tfjs_binding.node';

/** A checkout whose TensorFlow has no library yet, and a cache that has what is installed here. */
function checkout(): {
  readonly folder: string;
  readonly cached: string;
  readonly env: Record<string, string>;
} {
  const folder = temporaryFolder();
  const cache = path.join(folder, 'cache');
  const cached = path.join(cache, 'locmoe/tensorflow-1.15.0');
  const installed = path.dirname(path.dirname(path.dirname(probeTensorFlow().file)));
  for (const part of ['deps', ADDON])
    cpSync(path.join(installed, part), path.join(cached, part), { recursive: true, verbatimSymlinks: true });
  cpSync(path.join(ROOT, 'scripts'), path.join(folder, 'scripts'), { recursive: true });
  mkdirSync(path.join(folder, 'node_modules/@tensorflow/tfjs-node'), { recursive: true });
  symlinkSync(path.join(ROOT, 'node_modules/tar'), path.join(folder, 'node_modules/tar'));
  // Nothing answers there.
  return {
    folder,
    cached,
    env: { XDG_CACHE_HOME: cache, npm_config_registry: 'http://127.0.0.1:9', npm_config_fetch_retries: '0' },
  };
}

it('a library in the cache that is not the pinned one is not installed, but fetched again', async ({
  skip,
}) => {
  if (!hasTensorFlow() || !probeTensorFlow().isPinned) skipLoudly(skip, 'TensorFlow is not set up here');
  const { folder, cached, env } = checkout();
  const setUp = () => new Locmoe(['scripts/tensorflow.mjs'], env, [process.execPath], folder).finished;
  const installed = path.join(folder, 'node_modules/@tensorflow/tfjs-node', ADDON);
  // The package itself is missing in this checkout, so it does not load.
  expect((await setUp()).stderr).toMatch(/TensorFlow does not load/);
  expect(existsSync(installed)).toBe(true);

  appendFileSync(path.join(cached, ADDON), 'changed');
  const { code, stderr } = await setUp();
  expect([code, stderr]).toEqual([2, expect.stringContaining('is not what was unpacked there')]);
  expect(stderr).toMatch(/npm could not fetch/);
});
