import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { HttpFeature } from '@locmoe/logs/http';
import type { Command } from 'commander';
import { TrainerError } from '../errors.js';
import type { DiskTolerance } from '../run/disk-tolerance.js';
import type { RunListener } from '../run/run-listener.js';
import type { RunTotals } from '../run/run-totals.js';
import type { RoutePlaces } from './routes/read-places.js';

/** A run in the memory of the process that leads it. */
export interface LiveRun {
  readonly disk: Pick<DiskTolerance, 'notRecordingSince'>;
  readonly totals: Pick<RunTotals, 'lastStep' | 'lastLoss'>;
}

/** Page that shows the runs of a folder. */
export interface PageFeature extends HttpFeature {
  /** Tells whether somebody is looking at a run. */
  isWatched(): boolean;
  /**
   * Maintains an index beside the metrics of a run that this process leads, so that a long run opens at once.
   *
   * @param live values that the run's files lack while the disk is full
   */
  follow(runId: string, live: LiveRun): RunListener;
}

/** Exports of `@locmoe/page`. */
export interface PagePackage {
  pageFeature(runsDir: string, shown?: string): PageFeature;
}

/** Exports of `@locmoe/bench`. */
export interface BenchPackage {
  addCommands(program: Command): void;
  placeExperts(options: PlaceOptions): Promise<void>;
}

/** Options of `locmoe routes place`. */
export interface PlaceOptions extends RoutePlaces {
  /** Recipe or file; the run's configuration by default. */
  readonly config?: string;
  readonly set: readonly string[];
  readonly nodes?: number;
  readonly workersPerNode?: number;
  /** Greatest load of a rank over the mean. */
  readonly maxLoad: number;
  readonly link?: string;
  readonly coresPerNode?: number;
  readonly sharedMachine: boolean;
  readonly calibration?: string;
  readonly output?: string;
  readonly json?: true;
}

/** Exports of `@locmoe/export`. */
export interface ExportPackage {
  exportCommand(command: Command): void;
  /** Returns the page of `locmoe api`. */
  chatFeature(): HttpFeature;
}

/** Commands of `@locmoe/bench`, with their descriptions in `locmoe --help`. */
export const BENCH_COMMANDS = {
  bench: 'measurements that train for real, printed as a table',
  plan: 'predict step time, memory and traffic of a training, on this machine or on ones you do not have',
} as const;

// These packages build on the trainer, so it loads them by name, and only when a command needs them.

/** @throws TrainerError `NO_RESOURCE` if it is not installed */
export function loadPage(): Promise<PagePackage> {
  return load('@locmoe/page');
}

/** @throws TrainerError `NO_RESOURCE` if it is not installed */
export function loadBench(): Promise<BenchPackage> {
  return load('@locmoe/bench');
}

/** @throws TrainerError `NO_RESOURCE` if it is not installed */
export function loadExport(): Promise<ExportPackage> {
  return load('@locmoe/export');
}

/**
 * Adds the commands of `@locmoe/bench`: complete if one of them is called, else only their names, for `--help`.
 *
 * @param called name of the called command
 * @throws TrainerError `NO_RESOURCE` if one is called and the package is not installed
 */
export async function addBenchCommands(program: Command, called: string): Promise<void> {
  if (called in BENCH_COMMANDS) {
    (await loadBench()).addCommands(program);
  } else
    for (const [name, description] of Object.entries(BENCH_COMMANDS))
      program.command(name).description(description);
}

/** Tells whether a package is installed, without loading it. */
export function isPackageInstalled(name: string): boolean {
  try {
    return existsSync(fileURLToPath(import.meta.resolve(name)));
  } catch {
    return false;
  }
}

/** Error codes of a missing module, from `import` and from `require.resolve`. */
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
