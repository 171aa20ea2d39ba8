import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { HttpFeature } from '@locmoe/logs/http';
import type { Command } from 'commander';
import { TrainerError } from '../errors.js';
import type { RunListener } from '../run/run-listener.js';

/** The page that shows the runs in a folder. */
export interface PageFeature extends HttpFeature {
  /** Whether somebody looks at a run at this time. */
  isWatched(): boolean;
  /** Keeps an index beside the metrics of a run that this process leads, so that a long run opens at once. */
  follow(runId: string): RunListener;
}

/** What `@locmoe/page` offers. */
export interface PagePackage {
  pageFeature(runsDir: string): PageFeature;
}

/** What `@locmoe/bench` offers. */
export interface BenchPackage {
  /** Adds `BENCH_COMMANDS`. */
  addCommands(program: Command): void;
}

/** What `@locmoe/export` offers. */
export interface ExportPackage {
  /** Adds options and action of `locmoe export`. */
  exportCommand(command: Command): void;
}

/** The commands of `@locmoe/bench`, with what `locmoe --help` says of them. */
export const BENCH_COMMANDS = {
  bench: 'measurements that train for real and write a report',
  plan: 'predict step time, memory and traffic of a training, on this machine or on ones you do not have',
} as const;

// These packages build on the trainer, so it loads them by name, and only when they are called for.

/** @throws TrainerError `NO_RESOURCE` if it is not installed */
export function loadPage(): Promise<PagePackage> {
  return load('@locmoe/page');
}

/** @throws TrainerError `NO_RESOURCE` if it is not installed */
export function loadExport(): Promise<ExportPackage> {
  return load('@locmoe/export');
}

/**
 * Adds the commands of `@locmoe/bench`: whole if one of them is called for, else only their names, for
 * `--help`.
 *
 * @param called the name of the command that is called for
 * @throws TrainerError `NO_RESOURCE` if one is called for and the package is not installed
 */
export async function addBenchCommands(program: Command, called: string): Promise<void> {
  if (called in BENCH_COMMANDS) {
    const bench: BenchPackage = await load('@locmoe/bench');
    bench.addCommands(program);
  } else
    for (const [name, description] of Object.entries(BENCH_COMMANDS))
      program.command(name).description(description);
}

/** Whether a package that is loaded by name is there; it is not loaded. */
export function isPackageInstalled(name: string): boolean {
  try {
    return existsSync(fileURLToPath(import.meta.resolve(name)));
  } catch {
    return false;
  }
}

/** Codes of a missing module: of `import` and of `require.resolve`. */
const NOT_FOUND: ReadonlySet<unknown> = new Set(['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND']);

async function load<T>(name: string): Promise<T> {
  try {
    return await import(name);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && NOT_FOUND.has(error.code))) throw error;
    const [why] = error.message.split('\n');
    throw new TrainerError('NO_RESOURCE', `${name} is not installed, or not built (${why})`);
  }
}
