import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished, vi } from 'vitest';
import { STUDIES } from '../index.js';

const RUN = fileURLToPath(new URL('../run.ts', import.meta.url));
/** The command line of a study, before its name. */
export const STUDY = [process.execPath, '--conditions=source', '--import', 'tsx', RUN] as const;

/** What every JSON of a study ends with. */
export const MADE = { machine: 'a machine', command: 'a command' } as const;

/** A folder for one test, removed after it. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-study-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** Calls a study in this process, and says nothing. */
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

/** Copies what a study has in docs/results that its page is made of: the JSON or its runs, and the section that people wrote. */
export function copyResults(results: string, name: string, out: string): void {
  for (const file of [`${name}.json`, `${name}-runs.jsonl`, `${name}.md`, name])
    if (existsSync(path.join(results, file)))
      cpSync(path.join(results, file), path.join(out, file), { dereference: true, recursive: true });
}
