import { spawnSync } from 'node:child_process';
import { cpSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { expect, it } from 'vitest';
import { skipLoudly } from '../debian-tool.js';
import { ROOT, temporaryFolder } from './support.js';

const FETCH = "import('./scripts/webgpu.mjs').then(({ fetchWebGpu }) => fetchWebGpu(console.log))";
/** Matches the errors that npm reports where no registry can be reached. */
const OFFLINE = /npm \S+ code (ENOTFOUND|EAI_AGAIN|ECONN\w+|ENETUNREACH|EHOSTUNREACH|E\w*TIMEDOUT|E403)/;

it('fetches a library that loads, with its licence, and nothing else', ({ skip }) => {
  const folder = temporaryFolder();
  cpSync(path.join(ROOT, 'scripts'), path.join(folder, 'scripts'), { recursive: true });
  const { status, stderr } = spawnSync(process.execPath, ['-e', FETCH], {
    cwd: folder,
    env: { ...process.env, npm_config_fetch_retries: '0' },
    encoding: 'utf8',
    timeout: 280_000,
  });
  const [why] = OFFLINE.exec(stderr) ?? [];
  if (why !== undefined) return skipLoudly(skip, `no registry of npm: ${why}`);
  expect(status, stderr).toBe(0);
  const fetched = path.join(folder, 'webgpu/0.6.2');
  expect(readdirSync(fetched).sort()).toEqual(['LICENSE.md', 'dawn.node']);
  const library = createRequire(import.meta.url)(path.join(fetched, 'dawn.node'));
  expect(Object.keys(library).sort()).toEqual(['create', 'globals']);
  expect(typeof library.create).toBe('function');
});
