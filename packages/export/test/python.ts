import { spawnSync } from 'node:child_process';

const TIMEOUT_MS = 120_000;

/** Runs a program. @returns what it printed, or with an exit code other than 0 also what it said of it */
export function runPython(python: string, program: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(python, ['-c', program, ...args], {
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
    // No __pycache__ in exported folders; other tests want the cores too.
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1', OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1' },
  });
  return status === 0 ? stdout : `${stdout}${stderr}exit code ${status}`;
}
