import { spawnSync } from 'node:child_process';

const TIMEOUT_MS = 120_000;

/** Runs a program. @returns its standard output, with standard error if the exit code is not 0 */
export function runPython(python: string, program: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(python, ['-c', program, ...args], {
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
    // Avoids __pycache__ in exported folders, and leaves cores to other tests.
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1', OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1' },
  });
  return status === 0 ? stdout : `${stdout}${stderr}exit code ${status}`;
}
