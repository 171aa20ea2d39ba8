import { spawnSync } from 'node:child_process';
import { cpSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { loadOneDnn } from '../../src/ops/kernels/onednn/library.js';
import { skipLoudly } from '../debian-tool.js';
import { ROOT, temporaryFolder } from './support.js';

const FETCH = "import('./scripts/onednn.mjs').then(({ fetchOneDnn }) => fetchOneDnn(console.log))";

/** Runs the fetch of a checkout that has nothing but its scripts. */
function fetchIn(folder: string, env: Readonly<Record<string, string>> = {}) {
  cpSync(path.join(ROOT, 'scripts'), path.join(folder, 'scripts'), { recursive: true });
  const options = {
    cwd: folder,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: 110_000,
  } as const;
  return spawnSync(process.execPath, ['-e', FETCH], options);
}

it('fetches a library that loads, with the threads that it needs, and nothing else', ({ skip }) => {
  const folder = temporaryFolder();
  const { status, stderr } = fetchIn(folder);
  const why = /Error: (apt-\S+ .*|no apt-get .*|no package .*)/.exec(stderr)?.[1];
  if (why !== undefined) return skipLoudly(skip, why);
  expect(status, stderr).toBe(0);
  const [threads, library, ...others] = readdirSync(path.join(folder, 'onednn')).sort().reverse();
  expect([threads, others]).toEqual(['libgomp.so.1', []]);
  const [libraryPath, threadsPath] = [library, threads].map((name) => path.join(folder, 'onednn', name));
  expect(loadOneDnn(libraryPath, threadsPath).version).toMatch(/^3\.\d+\.\d+$/);
});

it('says what is missing where there is no apt-get', () => {
  const { status, stderr } = fetchIn(temporaryFolder(), { PATH: '/nowhere' });
  expect(status).not.toBe(0);
  expect(stderr).toContain('no apt-get here: install oneDNN 3 (libdnnl) yourself');
});
