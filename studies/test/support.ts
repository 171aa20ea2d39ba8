import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { onTestFinished, vi } from 'vitest';
import { STUDIES } from '../index.js';

const RUN = fileURLToPath(new URL('../run.ts', import.meta.url));
/** Prepared datasets of the tests are kept with the user's own, so that a second test run finds them. */
export const DATA_DIR = fileURLToPath(new URL('../../data', import.meta.url));

/** Fields at the end of every study's JSON. */
export const MADE = { machine: 'a machine', command: 'a command' } as const;

/** A folder for one test, removed after it. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-study-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** Calls a study in this process, without console output. */
export async function callStudy(name: string, ...args: readonly string[]): Promise<void> {
  const log = vi.spyOn(console, 'log').mockReturnValue();
  try {
    const { default: command } = await STUDIES[name]!();
    await command.parseAsync(args, { from: 'user' });
  } finally {
    log.mockRestore();
    process.exitCode = undefined;
  }
}

/**
 * Runs the command line of the studies in a process of its own, which ends with the test at the latest.
 *
 * @throws {Error} with `code`, `stdout` and `stderr` if it fails
 */
export function runStudy(...args: readonly string[]) {
  const run = promisify(execFile)(process.execPath, ['--conditions=source', '--import', 'tsx', RUN, ...args]);
  onTestFinished(() => void run.child.kill());
  return run;
}

/**
 * Copies the files in docs/results from which a study's page is made: the JSON or its runs, and the sections that
 * people wrote.
 */
export function copyResults(results: string, name: string, out: string): void {
  for (const file of [`${name}.json`, `${name}-runs.jsonl`, `${name}.md`, name])
    if (existsSync(path.join(results, file)))
      cpSync(path.join(results, file), path.join(out, file), { dereference: true, recursive: true });
}
