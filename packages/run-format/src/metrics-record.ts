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

/** The schema of a line of `metrics.ndjson`. */
export const metricsRecord = z.discriminatedUnion('type', [
  z.object({ type: z.literal('generation'), time, ...generation.shape }),
  z.object({ type: z.literal('step'), time, ...globalStep.shape }),
  z.object({ type: z.literal('validation'), time, ...validation.shape }),
  z.object({ type: z.literal('checkpoint'), time, ...checkpoint.shape }),
  z.object({ type: z.literal('heartbeat'), time, ranks: z.array(rankBeat) }),
]);
export type MetricsRecord = DeepReadonly<z.output<typeof metricsRecord>>;

export type MetricsRecordOf<Type extends MetricsRecord['type']> = Extract<MetricsRecord, { type: Type }>;

const NEWLINE = 0x0a;

/** A record, and the byte offsets at which its line begins and ends. */
export interface PlacedRecord {
  readonly record: MetricsRecord;
  readonly begin: number;
  readonly end: number;
}

/**
 * Returns null for a line that is not a record: it was cut short by a kill or a full disk, or its type is of
 * another version.
 *
 * @param begin byte offset at which the line begins in the file
 * @throws TrainerError `BAD_INPUT` for a record that its type does not allow
 */
export function parseRecord(line: string, file: string, begin: number): MetricsRecord | null {
  let record: MetricsRecord;
  try {
    record = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof record?.type === 'string' && typeof record.time !== 'number')
    record = { ...(record as MetricsRecord), time: Number.NaN };
  const [issue] = metricsRecord.safeParse(record).error?.issues ?? [];
  if (issue === undefined) return record;
  const [field = 'type'] = issue.path;
  if (field === 'type') return null;
  const number = readRegularFile(file).toString('latin1', 0, begin).split('\n').length;
  throw new TrainerError(
    'BAD_INPUT',
    `${file}, line ${number}: a record of type ${record.type} with an invalid ${issue.path.join('.')} (${issue.message}); correct the line or remove it`,
  );
}

/**
 * Yields the records of lines, of which the first and the last may be cut off.
 *
 * @param at byte offset in the file at which the lines begin
 * @throws TrainerError as `parseRecord`
 */
export function* recordsIn(lines: Buffer, file: string, at: number): Generator<PlacedRecord> {
  for (let begin = 0, end = 0; begin < lines.length; begin = end) {
    end = lines.indexOf(NEWLINE, begin) + 1 || lines.length;
    const record = parseRecord(lines.toString('utf8', begin, end), file, at + begin);
    if (record !== null) yield { record, begin: at + begin, end: at + end };
  }
}

/** Returns the step that a record belongs to; 0 if it belongs to none. */
export function stepOfRecord(record: MetricsRecord): number {
  return 'step' in record ? record.step : 0;
}

/**
 * Returns all records of a run, oldest first; empty if the run has no file yet.
 *
 * @throws TrainerError `NO_RESOURCE` if the file cannot be read, `BAD_INPUT` if it is not a regular file, or as
 *   `parseRecord`
 */
export function readRecords(file: string): MetricsRecord[] {
  if (!existsSync(file)) return [];
  try {
    return Array.from(recordsIn(readRegularFile(file), file, 0), ({ record }) => record);
  } catch (error) {
    if (error instanceof TrainerError) throw error;
    throw new TrainerError('NO_RESOURCE', `${file} cannot be read: ${(error as Error).message}`);
  }
}

/** Bytes read at a time from the end: enough for the last step of a model with many experts. */
const PIECE_BYTES = 1 << 17;

/**
 * Yields the records of a run from last to first, in bounded memory, for data near the end of metrics of any
 * length. Yields nothing if the run has no file yet.
 *
 * @throws TrainerError `BAD_INPUT` if it is not a regular file, or as `parseRecord`
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
        const begin = first + bytes.subarray(first, end - 1).lastIndexOf(NEWLINE) + 1;
        yield* recordsIn(bytes.subarray(begin, end), file, start + begin);
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
  let [first, last] = [Number.POSITIVE_INFINITY, step];
  for (const { record } of recordsFromEnd(file)) {
    const at = stepOfRecord(record);
    if (record.type === 'step' && at <= step) break;
    if (at > step) [first, last] = [Math.min(first, at), Math.max(last, at)];
  }
  return last === step ? null : { first, last };
}

/**
 * Returns the last records of a run, oldest first, read from the end of its file, which is fast even for a
 * long run. Empty if the file cannot be read.
 *
 * @throws TrainerError `BAD_INPUT` if it is not a regular file, or as `parseRecord`
 */
export function lastRecords(file: string): MetricsRecord[] {
  const last: MetricsRecord[] = [];
  try {
    let from = 0;
    for (const { record, end, begin } of recordsFromEnd(file)) {
      if (last.length === 0) from = end - PIECE_BYTES;
      else if (begin < from) break;
      last.push(record);
    }
  } catch (error) {
    if (error instanceof TrainerError) throw error;
  }
  return last.reverse();
}

/** Returns the mean cross-entropy over the validation tokens of all domains, in nats per token; NaN without any. */
export function meanLoss({ domains }: Pick<Validation, 'domains'>): number {
  const tokens = domains.reduce((sum, domain) => sum + domain.tokens, 0);
  return domains.reduce((sum, domain) => sum + domain.loss * domain.tokens, 0) / tokens;
}
