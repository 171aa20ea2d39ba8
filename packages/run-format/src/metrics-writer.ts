import {
  appendFileSync,
  constants,
  copyFileSync,
  existsSync,
  renameSync,
  statSync,
  truncateSync,
} from 'node:fs';
import { AppendFile } from '@locmoe/logs/append-file';
import { type MetricsRecord, recordsFromEnd, stepOfRecord } from './metrics-record.js';

/** Appends one record to `metrics.ndjson`, on a new line even if a power failure cut the last one short. */
export function appendRecord(metrics: string, record: MetricsRecord): void {
  const file = new AppendFile(metrics);
  try {
    file.append(lineOf(record));
  } finally {
    file.close();
  }
}

/** Formats a record as a line. The type comes first, for people who read or grep the file. */
function lineOf({ type, ...record }: MetricsRecord): string {
  return `${JSON.stringify({ type, ...record })}\n`;
}

/**
 * Removes the records of steps after `step`, which a run that resumes from there repeats. Records that belong
 * to no step (heartbeats, generations) are kept. Little more than what follows the record of `step` is
 * parsed, however long the file is.
 */
export function dropRecordsAfter(metrics: string, step: number): void {
  if (!existsSync(metrics)) return;
  const kept: string[] = [];
  let cut = 0;
  for (const { record, end } of recordsFromEnd(metrics)) {
    if (record.type === 'step' && record.step <= step) {
      cut = end;
      break;
    }
    if (stepOfRecord(record) <= step) kept.push(lineOf(record));
  }
  if (cut === statSync(metrics).size) return;
  copyFileSync(metrics, `${metrics}.tmp`, constants.COPYFILE_FICLONE);
  truncateSync(`${metrics}.tmp`, cut);
  appendFileSync(`${metrics}.tmp`, kept.reverse().join(''));
  renameSync(`${metrics}.tmp`, metrics);
}
