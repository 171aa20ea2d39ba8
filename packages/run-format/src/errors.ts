import { LogsError } from '@locmoe/logs/errors';

/** Place of an error in a run; its parts are printed in front of the message in this order. */
export interface ErrorContext {
  readonly node?: number | undefined;
  readonly rank?: number | undefined;
  readonly step?: number | undefined;
  readonly layer?: number | undefined;
  readonly operation?: string | undefined;
}

/**
 * Every way a run can fail.
 *
 * - `BAD_CONFIG`, `BAD_INPUT`: the user's configuration, corpus, tokenizer or arguments (exit code 2)
 * - `BAD_CHECKPOINT`: a checkpoint that is damaged or lacks tensors of the model (exit code 4)
 * - `NO_RESOURCE`: a port in use, /dev/shm or the disk too small, an unusable file or folder (exit code 2)
 * - `BAD_MESSAGE`: another process sent what the protocol does not allow
 * - `DISK_FULL`: no room for a checkpoint (exit code 2)
 * - `COLLECTIVE_TIMEOUT`: a peer did not arrive in a collective before its deadline
 * - `COLLECTIVE_MISMATCH`: two ranks were in different collectives, or disagreed on a size
 * - `WORKER_DIED`, `NODE_LOST`: a process ended, hung or could not be reached
 * - `WORKER_HUNG`: a worker's process is alive, but is stopped or makes no progress while others wait for it
 * - `NODE_RETURNED`: a generation with fewer nodes ended after a checkpoint, so that more take part; no failure
 * - `NOT_FINITE`: loss or gradient norm became NaN or infinite
 * - `INTERRUPTED`: a signal ended a command before there was a run (exit code 130)
 * - `SUPERSEDED`: a later generation of the run was started while this one was suspended
 * - `ABORTED`: another rank failed first; never the root cause
 * - `UNAVAILABLE`: no coordinator at the given address (exit code 2)
 * - `UNAUTHENTICATED`: a certificate or a join token was refused or does not match (exit code 2)
 * - `RUN_FULL`: the run has all its nodes, or has begun (exit code 2)
 * - `INTERNAL`: a bug
 */
export const ERROR_CODES = [
  'BAD_CONFIG',
  'BAD_INPUT',
  'BAD_CHECKPOINT',
  'NO_RESOURCE',
  'DISK_FULL',
  'BAD_MESSAGE',
  'COLLECTIVE_TIMEOUT',
  'COLLECTIVE_MISMATCH',
  'WORKER_DIED',
  'WORKER_HUNG',
  'NODE_LOST',
  'NODE_RETURNED',
  'NOT_FINITE',
  'INTERRUPTED',
  'SUPERSEDED',
  'ABORTED',
  'UNAVAILABLE',
  'UNAUTHENTICATED',
  'RUN_FULL',
  'INTERNAL',
] as const;
export type ErrorCode = (typeof ERROR_CODES)[number];

/** An error whose message tells a user what was wrong, where, and what to do about it. */
export class TrainerError extends Error {
  override readonly name = 'TrainerError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly context: ErrorContext = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  /** One line: the place, then the message. */
  get line(): string {
    const { node, rank, step, layer, operation } = this.context;
    const place = [
      rank !== undefined && `rank ${rank}`,
      node !== undefined && `node ${node}`,
      step !== undefined && `step ${step}`,
      layer !== undefined && `layer ${layer}`,
      operation,
    ].filter(Boolean);
    return place.length > 0 ? `${place.join(', ')}: ${this.message}` : this.message;
  }
}

/** Number of files that a process may need to have open. */
export const LEAST_OPEN_FILES = 1024;

/** Converts anything thrown; an error of a failed system call becomes `NO_RESOURCE`, any other `INTERNAL`. */
export function asTrainerError(error: unknown, context: ErrorContext = {}): TrainerError {
  if (error instanceof TrainerError)
    return new TrainerError(
      error.code,
      error.message,
      { ...context, ...error.context },
      { cause: error.cause },
    );
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof LogsError) return new TrainerError(error.code, message, context, { cause: error });
  // Node's message names the system call and the path: full disk, no permission, not a folder.
  if (error instanceof Error && 'syscall' in error) {
    const isLimit = Reflect.get(error, 'code') === 'EMFILE';
    const advice = isLimit ? `; raise the limit of open files: ulimit -n ${LEAST_OPEN_FILES}` : '';
    return new TrainerError('NO_RESOURCE', message + advice, context, { cause: error });
  }
  // V8 reserves gigabytes of address space for each WebAssembly memory, and for the heap of a thread.
  const isOutOfMemory =
    (error instanceof RangeError && /^WebAssembly\b.*\bmemory\b/i.test(message)) ||
    (error instanceof Error && Reflect.get(error, 'code') === 'ERR_WORKER_OUT_OF_MEMORY');
  if (isOutOfMemory)
    return new TrainerError(
      'NO_RESOURCE',
      `${message}; raise the limit of address space: ulimit -v unlimited`,
      context,
      { cause: error },
    );
  return new TrainerError('INTERNAL', message, context, { cause: error });
}

/** @param locmoe version of the program that wrote the file, if known */
export function unsupported(file: string, version: unknown, reads: number, locmoe?: string): TrainerError {
  const writer = locmoe === undefined ? 'the locmoe that' : `locmoe ${locmoe}, which`;
  return new TrainerError(
    'BAD_INPUT',
    `${file}: has version ${version}; this locmoe reads version ${reads}: use ${writer} wrote it`,
  );
}
