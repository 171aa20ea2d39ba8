import { statSync } from 'node:fs';
import path from 'node:path';
import {
  type FailureReport,
  generationsOf,
  lastRecords,
  mayBeLive,
  numStepsOf,
  type RunFolder,
  type RunGeneration,
  type RunRecord,
  readJournal,
} from '@locmoe/run-format';
import { readRegularFile } from '@locmoe/run-format/regular-file';
import type { RunListItem } from './api-types.js';

/** The fields of `config.json` that the page reads; earlier versions left out some. */
export type KnownConfig = {
  readonly name?: string;
  readonly model?: { readonly seqLen: number };
  readonly moe?: { readonly router: string };
  readonly train?: {
    readonly steps: number;
    readonly globalBatch: number;
    readonly maxTokens?: number | null;
  };
  readonly cluster?: {
    readonly nodes: number;
    readonly workersPerNode: number;
    readonly maxRestarts?: number;
    readonly restartWindow: number;
  };
};

export interface ListedRun {
  readonly folder: RunFolder;
  readonly record: RunRecord;
}

/** The part of a row that is read from the run's files. */
type RecordedItem = Omit<RunListItem, 'notRecordingSince'>;

/** Contents of the files of a run, and the times of the files when they were read. */
interface Known {
  readonly version: string;
  readonly item: RecordedItem;
}

/** Rows of the list of runs. A run is read again once its files have changed. */
export class RunItems {
  readonly #known = new Map<string, Known>();

  of({ folder, record }: ListedRun): RecordedItem {
    const isLive = mayBeLive(record);
    const known = this.#known.get(folder.runId);
    const version = JSON.stringify([isLive, ...FILES.map((name) => stampOf(folder, name))]);
    if (known?.version === version) return known.item;
    const item = describe({ folder, record }, isLive);
    this.#known.set(folder.runId, { version, item });
    return item;
  }
}

const FILES = ['run.json', 'metrics.ndjson', 'config.json', 'journal.ndjson', 'failure.json'];

function stampOf(folder: RunFolder, name: string): string {
  const stat = statSync(path.join(folder.directory, name), { throwIfNoEntry: false });
  return stat === undefined ? '' : `${stat.size} ${stat.mtimeMs}`;
}

function describe({ folder, record }: ListedRun, isLive: boolean): RecordedItem {
  const isOver = record.state === 'finished' || record.state === 'failed';
  const config = readJson<KnownConfig>(folder, 'config.json') ?? {};
  const journal = orNone(() => readJournal(folder.journal));
  const generation = generationsOf(journal).at(-1);
  const last = lastStep(folder, isLive ? generation : undefined);
  return {
    runId: folder.runId,
    state: isLive || isOver ? record.state : 'dead',
    isLive,
    startedAt: earlier(record.startedAt, journal[0]?.time),
    endedAt: isLive ? null : (generation?.endedAtMs ?? endOf(folder, isOver ? folder.readFailure() : null)),
    generation: record.generation,
    step: last?.step ?? 0,
    steps: stepsOf(config),
    loss: last?.loss ?? null,
    recipe: config.name ?? null,
    router: config.moe?.router ?? null,
    layout:
      config.cluster === undefined ? null : `${config.cluster.nodes} x ${config.cluster.workersPerNode}`,
  };
}

/** Returns the earlier of two times, as a resume by an earlier version overwrote the start time. */
function earlier(startedAt: string, begunMs: number | undefined): string {
  if (begunMs === undefined || begunMs >= Date.parse(startedAt)) return startedAt;
  return new Date(begunMs).toISOString();
}

export function readJson<T = Record<string, unknown>>(folder: RunFolder, name: string): T | null {
  try {
    return JSON.parse(readRegularFile(path.join(folder.directory, name)).toString());
  } catch {
    return null;
  }
}

function stepsOf({ model, train }: KnownConfig): number | null {
  if (model === undefined || train === undefined) return null;
  // Runs of earlier versions have no train.maxTokens.
  return numStepsOf({ model, train: { ...train, maxTokens: train.maxTokens ?? null } });
}

/** A run's processes end within this time after its last record. */
const SHUTDOWN_MS = 10_000;

/**
 * Returns when a run without a journal of its end ended: at its last write, bounded by its last record, as a
 * copy has newer file times.
 */
function endOf(folder: RunFolder, failure: FailureReport | null): number | null {
  const files = [folder.metrics, path.join(folder.directory, 'run.json')];
  const writes = files.map((file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0);
  const times = orNone(() => lastRecords(folder.metrics)).map(({ time }) => time);
  const recorded = Math.max(failure?.time ?? 0, ...times.filter(Number.isFinite));
  return Math.min(Math.max(...writes), recorded === 0 ? Infinity : recorded + SHUTDOWN_MS) || null;
}

/** Returns nothing if a file cannot be read, so that the other runs are still listed. */
function orNone<T>(read: () => readonly T[]): readonly T[] {
  try {
    return read();
  } catch {
    return [];
  }
}

/** @param live the current generation; steps that an earlier one did beyond its start will be repeated */
function lastStep(
  { metrics }: RunFolder,
  live: RunGeneration | undefined,
): Pick<RunListItem, 'step' | 'loss'> | null {
  const last = orNone(() => lastRecords(metrics)).findLast((record) => record.type === 'step');
  const start = live && { step: live.from.step, loss: null };
  if (last === undefined) return start ?? null;
  return start !== undefined && last.step > start.step && last.time < live!.beganAtMs ? start : last;
}
