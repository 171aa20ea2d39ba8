import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { AppendFile } from '@locmoe/logs/append-file';

/** An injected fault, a line of `chaos.ndjson` in the run's folder. */
export interface ChaosRecord {
  /** Wall clock, ms since 1970, at which it began. */
  readonly time: number;
  readonly seed: number;
  /** Number of the injection; with the seed it determines fault, victim and duration. */
  readonly index: number;
  readonly fault: string;
  /** Null if the victim is not a rank. */
  readonly rank: number | null;
  readonly node: number | null;
  readonly pid: number | null;
  /** 0 for an instantaneous fault. */
  readonly durationS: number;
  /** Description of the fault, in words. */
  readonly detail: string;
  readonly damaged?: DamagedCheckpoint;
}

export interface DamagedCheckpoint {
  /** Name of the checkpoint's folder. */
  readonly folder: string;
  /** Generation that wrote the checkpoint; a later one may write the same step again. */
  readonly generation: number;
}

function chaosFile(runDirectory: string): string {
  return path.join(runDirectory, 'chaos.ndjson');
}

export function appendChaosRecord(runDirectory: string, record: ChaosRecord): void {
  const file = new AppendFile(chaosFile(runDirectory));
  try {
    file.append(`${JSON.stringify(record)}\n`);
  } finally {
    file.close();
  }
}

/** Reads all faults that were injected into a run, oldest first. */
export function readChaosRecords(runDirectory: string): ChaosRecord[] {
  const file = chaosFile(runDirectory);
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}
