import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { WORKER_ENV, WORKER_NODE_OPTIONS } from '../../src/agent/worker-env.js';

it('a worker holds no more in its third 400 steps than in its second', () => {
  const program = fileURLToPath(new URL('long-run.program.ts', import.meta.url));
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [...WORKER_NODE_OPTIONS, '--conditions=source', '--import', 'tsx', program],
    {
      encoding: 'utf8',
      env: { ...process.env, ...WORKER_ENV },
      timeout: 110_000,
    },
  );
  expect(status, stderr).toBe(0);
  const [early, late] = JSON.parse(stdout);
  expect(late.tensors).toBe(early.tensors);
  // The addon's builds for TensorFlow 1.15 keep 32 bytes for each tensor that compiled parts take and give.
  expect((late.residentBytes - early.residentBytes) / 400).toBeLessThan(20_000);
}, 120_000);
