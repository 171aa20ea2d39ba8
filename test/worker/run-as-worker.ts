import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { WORKER_ENV, WORKER_NODE_OPTIONS } from '../../src/agent/worker-env.js';
import { runnable } from '../../src/os/start-thread.js';

/** Runs a program in a process with a worker's settings; returns the JSON that it prints. */
export function runAsWorker<T>(program: URL, ...args: readonly string[]): T {
  const file = runnable(fileURLToPath(program));
  const { status, stdout, stderr } = spawnSync(process.execPath, [...WORKER_NODE_OPTIONS, file, ...args], {
    encoding: 'utf8',
    env: { ...process.env, ...WORKER_ENV },
    timeout: 110_000,
  });
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout);
}
