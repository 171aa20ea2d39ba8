import { z } from 'zod';
import type { DeepReadonly } from './deep-readonly.js';
import { KIND_OF_CODE, OPERATION_KINDS } from './operations.js';

/** Word indices in a slot of a flight ring; fields of two words start at even indices and are float64. */
export const FLIGHT = {
  /** Ticket of the slot; 0 if the slot is empty or being rewritten. */
  ticket: 0,
  /** Index of the span's name. */
  name: 1,
  kind: 2,
  /** Index of the layer; -1 outside a layer. */
  layer: 3,
  step: 4,
  /** In a span that is not an operation, the words from here on are 0, except start and end. */
  sequence: 5,
  numSends: 6,
  numReceives: 7,
  countsHash: 8,
  /** The only rank that was waited for in the last wait, plus 1; 0 for several ranks, or without a wait. */
  waitedFor: 9,
  startMs: 10,
  endMs: 12,
  bytesOut: 14,
  bytesIn: 16,
  firstByteMs: 18,
  enteredMs: 20,
  waitMs: 22,
  waitEndMs: 24,
  words: 26,
} as const;

/** The kind of a span that is not an operation, whose code no operation has. */
export const PART_CODE = 16;

const NO_LAYER = -1;

/**
 * A part of a step, as named by the worker: `forward`, or `experts` of a layer. Times are as in
 * RecordedOperation.
 */
export interface RecordedPart {
  readonly kind: 'part';
  readonly purpose: string;
  readonly layer: number | undefined;
  readonly step: number;
  readonly startMs: number;
  /** End of the part; null while it is in progress. */
  readonly endMs: number | null;
}

const count = z.int().nonnegative();
const time = z.number().nonnegative();

export const operationSchema = z.object({
  /** Number of the operation; the same call has the same number on every rank. */
  sequence: count,
  kind: z.enum(OPERATION_KINDS),
  purpose: z.string(),
  layer: count.optional(),
  countsHash: count.optional(),
  step: count,
  /** Messages and payload bytes to and from other ranks. */
  numSends: count,
  numReceives: count,
  bytesOut: count,
  bytesIn: count,
  startMs: time,
  /** When the first byte of another rank arrived; null before. */
  firstByteMs: time.nullable(),
  /** End of the operation; null while it is in progress. */
  endMs: time.nullable(),
});
/**
 * A collective call of a rank, as recorded in its flight ring. Times in ms since 1970 by the node's clock.
 */
export type RecordedOperation = DeepReadonly<z.output<typeof operationSchema>>;

/** An operation together with its cost for the caller. */
export interface OperationSpan extends RecordedOperation {
  /**
   * When the rank started to wait for the end of the operation: `startMs` if it did nothing in between, later
   * if it computed in the meantime; null if the operation had ended before.
   */
  readonly enteredMs: number | null;
  /** Time within the operation in which the rank slept or yielded its core because no data moved. */
  readonly waitMs: number;
  /** End of the last such time; null if there was none. */
  readonly waitEndMs: number | null;
  /**
   * The rank whose bytes arrived last; null if several ranks' bytes arrived after the last wait, or without a
   * wait.
   */
  readonly waitedFor: number | null;
}

export type RecordedSpan = RecordedPart | OperationSpan;

/** Reads the slot at a word index. */
export function readSlot(
  words: Int32Array,
  floats: Float64Array,
  slot: number,
  nameOf: (index: number) => string,
): RecordedSpan {
  const word = (field: number) => words[slot + field]!;
  const float = (field: number) => floats[(slot + field) >> 1]!;
  const common = {
    purpose: nameOf(word(FLIGHT.name)),
    layer: word(FLIGHT.layer) === NO_LAYER ? undefined : word(FLIGHT.layer),
    step: word(FLIGHT.step),
    startMs: float(FLIGHT.startMs),
    endMs: float(FLIGHT.endMs) || null,
  };
  if (word(FLIGHT.kind) === PART_CODE) return { kind: 'part', ...common };
  return {
    ...common,
    sequence: word(FLIGHT.sequence) >>> 0,
    kind: KIND_OF_CODE[word(FLIGHT.kind)]!,
    countsHash: word(FLIGHT.countsHash) >>> 0,
    numSends: word(FLIGHT.numSends),
    numReceives: word(FLIGHT.numReceives),
    bytesOut: float(FLIGHT.bytesOut),
    bytesIn: float(FLIGHT.bytesIn),
    firstByteMs: float(FLIGHT.firstByteMs) || null,
    enteredMs: float(FLIGHT.enteredMs) || null,
    waitMs: float(FLIGHT.waitMs),
    waitEndMs: float(FLIGHT.waitEndMs) || null,
    waitedFor: word(FLIGHT.waitedFor) === 0 ? null : word(FLIGHT.waitedFor) - 1,
  };
}

/** Returns the operations among spans, without their costs for the caller. */
export function operationsOf(spans: readonly RecordedSpan[]): RecordedOperation[] {
  return spans.flatMap((span) => {
    if (span.kind === 'part') return [];
    const { enteredMs: _, waitMs: _ms, waitEndMs: _end, waitedFor: _for, ...operation } = span;
    return [operation];
  });
}
