import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { numStepsOf } from 'locmoe/config/run-length';
import type { RunConfig } from 'locmoe/config/schema';
import { isOfThisMachine, processIdentity } from 'locmoe/os/process-info';
import type { StoredFailure } from 'locmoe/run/failure-report';
import { readJournal } from 'locmoe/run/journal';
import { lastRecords } from 'locmoe/run/metrics-record';
import { listRuns, type RunFolder, type RunRecord } from 'locmoe/run/run-folder';
import { generationsOf, type RunGeneration, restartCostsOf } from 'locmoe/run/run-generations';
import type { RunDetail, RunListItem } from './api-types.js';
import { MetricsTable } from './metrics-table.js';

/** Size of the LRU cache of metrics. */
const MAX_OPEN_RUNS = 8;

interface ListedRun {
  readonly folder: RunFolder;
  readonly record: RunRecord;
}

/** The runs of a folder. Ids are looked up in the listing, never joined to a path. */
export class RunCatalog {
  readonly #metrics = new Map<string, MetricsTable>();

  constructor(readonly runsDir: string) {}

  list(): RunListItem[] {
    return listRuns(this.runsDir).map(describe);
  }

  /** Null if there is no such run. */
  detail(runId: string): RunDetail | null {
    const run = this.#find(runId);
    if (run === null) return null;
    const { folder } = run;
    const item = describe(run);
    const failure = item.state === 'finished' || item.isLive ? null : folder.readFailure();
    const generations = generationsOf(readJournal(folder.journal));
    return {
      ...item,
      ...restartCostsOf(generations),
      restartsLeft: item.isLive ? restartsLeft(folder, generations) : null,
      generations,
      directory: folder.directory,
      endedAt: item.isLive ? null : endOf(folder, failure),
      config: readJson(folder, 'config.json'),
      summary: readJson(folder, 'summary.json'),
      failure,
    };
  }

  /** Null if there is no such run. */
  metrics(runId: string): MetricsTable | null {
    const run = this.#find(runId);
    if (run === null) return null;
    const open =
      this.#metrics.get(runId) ?? new MetricsTable(run.folder.metrics, Date.parse(run.record.startedAt));
    this.#metrics.delete(runId);
    this.#metrics.set(runId, open);
    for (const oldest of this.#metrics.keys()) {
      if (this.#metrics.size <= MAX_OPEN_RUNS) break;
      this.#metrics.delete(oldest);
    }
    return open;
  }

  /** The folder of its traces. Null if there is no such run. */
  traces(runId: string): string | null {
    return this.#find(runId)?.folder.trace ?? null;
  }

  #find(runId: string): ListedRun | null {
    return listRuns(this.runsDir).find(({ folder }) => folder.runId === runId) ?? null;
  }
}

function describe({ folder, record }: ListedRun): RunListItem {
  const isLive = mayBeLive(record);
  const last = lastStep(folder);
  const isOver = record.state === 'finished' || record.state === 'failed';
  return {
    runId: folder.runId,
    state: isLive || isOver ? record.state : 'dead',
    isLive,
    startedAt: record.startedAt,
    generation: record.generation,
    step: last?.step ?? 0,
    steps: stepsOf(folder),
    loss: last?.loss ?? null,
  };
}

/** As `isLive`, but a run of another machine counts as live while its record says so. */
function mayBeLive(record: RunRecord): boolean {
  if (record.state === 'finished' || record.state === 'failed') return false;
  return !isOfThisMachine(record) || processIdentity(record.pid) === record.process;
}

function readJson<T = Record<string, unknown>>(folder: RunFolder, name: string): T | null {
  try {
    return JSON.parse(readFileSync(path.join(folder.directory, name), 'utf8'));
  } catch {
    return null;
  }
}

function stepsOf(folder: RunFolder): number | null {
  const { model, train } = readJson<Partial<RunConfig>>(folder, 'config.json') ?? {};
  if (model === undefined || train === undefined) return null;
  // Runs of earlier versions have no train.maxTokens.
  return numStepsOf({ model, train: { ...train, maxTokens: train.maxTokens ?? null } });
}

/** By the wall clock, as a reader sees it; the coordinator's own count decides. */
function restartsLeft(folder: RunFolder, generations: readonly RunGeneration[]): number | null {
  const { cluster } = readJson<Partial<RunConfig>>(folder, 'config.json') ?? {};
  if (cluster?.maxRestarts === undefined) return null;
  const since = Date.now() - 1000 * cluster.restartWindow;
  const recent = generations.filter(
    ({ end, failure }) => end === 'restarted' && failure !== null && failure.time > since,
  );
  return cluster.maxRestarts - recent.length;
}

/** A run's processes end within this time after its last record. */
const SHUTDOWN_MS = 10_000;

/** When a run ended: its last write, bounded by its last record because a copy has newer file times. */
function endOf(folder: RunFolder, failure: StoredFailure | null): number | null {
  const written = lastWriteMs(folder);
  const times = lastRecords(folder.metrics).map(({ time }) => time);
  const recorded = Math.max(failure?.time ?? 0, ...times.filter(Number.isFinite));
  if (written === null || recorded === 0) return written;
  return Math.min(written, recorded + SHUTDOWN_MS);
}

function lastWriteMs(folder: RunFolder): number | null {
  const times = [folder.metrics, path.join(folder.directory, 'run.json')].flatMap((file) => {
    const stat = statSync(file, { throwIfNoEntry: false });
    return stat === undefined ? [] : [stat.mtimeMs];
  });
  return times.length === 0 ? null : Math.max(...times);
}

function lastStep(folder: RunFolder): { readonly step: number; readonly loss: number | null } | null {
  return lastRecords(folder.metrics).findLast((record) => record.type === 'step') ?? null;
}
