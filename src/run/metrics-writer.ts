import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { AppendFile } from '@locmoe/logs/append-file';
import { type MetricsRecord, readRecords, stepOfRecord } from './metrics-record.js';

/** Appends one record to `metrics.ndjson`, on a new line even if a power failure cut the last one short. */
export function appendRecord(metrics: string, { type, ...record }: MetricsRecord): void {
  const file = new AppendFile(metrics);
  try {
    // The type first, for people who read or grep the file.
    file.append(`${JSON.stringify({ type, ...record })}\n`);
  } finally {
    file.close();
  }
}

/**
 * Removes the records of steps after `step`, which a run resumed there repeats. Records of no step
 * (heartbeats, generations) stay.
 */
export function dropRecordsAfter(metrics: string, step: number): void {
  if (!existsSync(metrics)) return;
  const kept = readRecords(metrics).filter((record) => stepOfRecord(record) <= step);
  writeFileSync(`${metrics}.tmp`, kept.map((record) => `${JSON.stringify(record)}\n`).join(''));
  renameSync(`${metrics}.tmp`, metrics);
}
