import { spawnSync } from 'node:child_process';

const INTERPRETERS = ['python3', '/usr/bin/python3'];
const TIMEOUT_MS = 120_000;

/** A Python that can import these modules; null if there is none. */
export function findPython(...modules: readonly string[]): string | null {
  const look = `import ${modules.join(', ')}`;
  const found = INTERPRETERS.find(
    (python) => spawnSync(python, ['-c', look], { stdio: 'ignore', timeout: TIMEOUT_MS }).status === 0,
  );
  return found ?? null;
}

/** Runs a program. @returns what it printed, or with an exit code other than 0 also what it said of it */
export function runPython(python: string, program: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(python, ['-c', program, ...args], {
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
  });
  return status === 0 ? stdout : `${stdout}${stderr}exit code ${status}`;
}
