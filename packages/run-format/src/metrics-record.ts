import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import { z } from 'zod';
import type { DeepReadonly } from './deep-readonly.js';
import { TrainerError } from './errors.js';
import { globalStep } from './global-step.js';
import { assertRegular, readRegularFile } from './regular-file.js';

const count = z.int().nonnegative();

const rankBeat = z.object({
  rank: count,
  node: count,
  step: count,
  phase: z.string(),
  operation: z.string(),
  processState: z.string(),
  residentBytes: count,
  /** Median of the rank's own time in a step, in ms; absent before the first step. */
  ownMs: z.number().optional(),
  /** Share of the steps' time that would be saved if the rank were as fast as the next slowest. */
  lostShare: z.number().optional(),
});
/** Activity of a rank at a heartbeat. */
export type RankBeat = DeepReadonly<z.output<typeof rankBeat>>;

const validation = z.object({
  step: count,
  domains: z.array(z.object({ domain: z.string(), loss: z.number(), tokens: count })),
});
/** The losses of one validation. */
export type Validation = DeepReadonly<z.output<typeof validation>>;

const checkpoint = z.object({
  step: count,
  directory: z.string(),
  /** Sum over the files of all ranks; absent, like `seconds`, if another process saved the checkpoint. */
  bytes: count.optional(),
  /** Time from when the first rank had its part ready to the commit. */
  seconds: z.number().optional(),
});
/** A committed checkpoint. */
export type CheckpointReport = DeepReadonly<z.output<typeof checkpoint>>;

const generation = z.object({
  generation: count,
  /** Step of the checkpoint that it starts from; null for a new run. */
  resumedFrom: count.nullable(),
});
export type GenerationStart = DeepReadonly<z.output<typeof generation>>;

/** Wall clock, ms since 1970; NaN where an earlier version wrote none. */
const time = z.number().or(z.nan());

/** The schema of a line of `metrics.ndjson`. It is not applied when lines are read, as there are too many. */
export const metricsRecord = z.discriminatedUnion('type', [
  z.object({ type: z.literal('generation'), time, ...generation.shape }),
  z.object({ type: z.literal('step'), time, ...globalStep.shape }),
  z.object({ type: z.literal('validation'), time, ...validation.shape }),
  z.object({ type: z.literal('checkpoint'), time, ...checkpoint.shape }),
  z.object({ type: z.literal('heartbeat'), time, ranks: z.array(rankBeat) }),
]);
export type MetricsRecord = DeepReadonly<z.output<typeof metricsRecord>>;

export type MetricsRecordOf<Type extends MetricsRecord['type']> = Extract<MetricsRecord, { type: Type }>;

/** Names, for each type, a field that all its records have. */
const FIELD_OF_TYPE: Readonly<Record<string, string>> = {
  generation: 'generation',
  step: 'stepMs',
  validation: 'domains',
  checkpoint: 'directory',
  heartbeat: 'ranks',
} satisfies Record<MetricsRecord['type'], string>;

/**
 * Returns null for a line that is not a record: it was cut short by a kill or a full disk, or is of another
 * version.
 */
export function parseRecord(line: string): MetricsRecord | null {
  try {
    const record = JSON.parse(line);
    if (!Object.hasOwn(FIELD_OF_TYPE, record?.type) || !(FIELD_OF_TYPE[record.type]! in record)) return null;
    return typeof record.time === 'number' ? record : { ...record, time: Number.NaN };
  } catch {
    return null;
  }
}

/** Returns the step that a record belongs to; 0 if it belongs to none. */
export function stepOfRecord(record: MetricsRecord): number {
  return 'step' in record ? record.step : 0;
}

/**
 * Returns all records of a run, oldest first; empty if the run has no file yet.
 *
 * @throws TrainerError `NO_RESOURCE` if the file cannot be read, `BAD_INPUT` if it is not a regular file
 */
export function readRecords(file: string): MetricsRecord[] {
  if (!existsSync(file)) return [];
  try {
    return recordsOf(readRegularFile(file).toString());
  } catch (error) {
    if (error instanceof TrainerError) throw error;
    throw new TrainerError('NO_RESOURCE', `${file} cannot be read: ${(error as Error).message}`);
  }
}

/** Bytes read at a time from the end. */
const PIECE_BYTES = 1 << 20;
const NEWLINE = 0x0a;

/** A record, and the byte offsets at which its line begins and ends. */
export interface PlacedRecord {
  readonly record: MetricsRecord;
  readonly begin: number;
  readonly end: number;
}

/**
 * Yields the records of a run from last to first, in bounded memory, for data near the end of metrics of any
 * length. Yields nothing if the run has no file yet.
 *
 * @throws TrainerError `BAD_INPUT` if it is not a regular file
 */
export function* recordsFromEnd(file: string): Generator<PlacedRecord> {
  if (!existsSync(file)) return;
  assertRegular(file);
  const fd = openSync(file, 'r');
  try {
    // Bytes from `start` on that have been read but not yielded: the end of a line that begins earlier.
    let rest = Buffer.alloc(0);
    for (let start = fstatSync(fd).size; start > 0; ) {
      const piece = Buffer.alloc(Math.min(start, PIECE_BYTES));
      start -= piece.length;
      readSync(fd, piece, 0, piece.length, start);
      const bytes = Buffer.concat([piece, rest]);
      // The first line may be partial.
      const first = start === 0 ? 0 : bytes.indexOf(NEWLINE) + 1;
      for (let end = bytes.length; end > first; ) {
        const begin = end < 2 ? 0 : bytes.lastIndexOf(NEWLINE, end - 2) + 1;
        const record = parseRecord(bytes.toString('utf8', begin, end));
        if (record !== null) yield { record, begin: start + begin, end: start + end };
        end = begin;
      }
      rest = bytes.subarray(0, first);
    }
  } finally {
    closeSync(fd);
  }
}

/** Returns the first and the last step after `step` that have any record; null if there are none. */
export function recordedStepsAfter(
  file: string,
  step: number,
): { readonly first: number; readonly last: number } | null {
  const later: number[] = [];
  for (const { record } of recordsFromEnd(file)) {
    const at = stepOfRecord(record);
    if (record.type === 'step' && at <= step) break;
    if (at > step) later.push(at);
  }
  if (later.length === 0) return null;
  return later.reduce(
    ({ first, last }, each) => ({ first: Math.min(first, each), last: Math.max(last, each) }),
    { first: later[0]!, last: later[0]! },
  );
}

/** Large enough for the last step of a model with many experts. */
const TAIL_BYTES = 1 << 17;

/**
 * Returns the last records of a run, oldest first, read from the end of its file, which is fast even for a
 * long run. Empty if the file cannot be read.
 *
 * @throws TrainerError `BAD_INPUT` if it is not a regular file
 */
export function lastRecords(file: string): MetricsRecord[] {
  let fd: number;
  try {
    assertRegular(file);
    fd = openSync(file, 'r');
  } catch (error) {
    if (error instanceof TrainerError) throw error;
    return [];
  }
  try {
    const { size } = fstatSync(fd);
    const tail = Buffer.alloc(Math.min(size, TAIL_BYTES));
    const read = readSync(fd, tail, 0, tail.length, size - tail.length);
    return recordsOf(tail.toString('utf8', 0, read));
  } finally {
    closeSync(fd);
  }
}

/** Parses lines, of which the first and last may be cut off. */
function recordsOf(lines: string): MetricsRecord[] {
  return lines.split('\n').flatMap((line) => parseRecord(line) ?? []);
}

/** Returns the mean cross-entropy over the validation tokens of all domains, in nats per token; NaN without any. */
export function meanLoss({ domains }: Pick<Validation, 'domains'>): number {
  const tokens = domains.reduce((sum, domain) => sum + domain.tokens, 0);
  return domains.reduce((sum, domain) => sum + domain.loss * domain.tokens, 0) / tokens;
}
