import type { RankProgress } from '../collectives/control-block.js';
import type { TrainerError } from '../errors.js';
import type { WorkerFailure } from '../rpc/generated/messages.js';

/** A worker that cannot continue: the worker reported an error, or its process ended. */
export interface WorkerFault {
  readonly rank: number;
  readonly pid: number;
  readonly error: TrainerError;
  /** Exit code and signal of its process; both null while it lives. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * Builds the message that reports a fault. Step, layer and operation that the error does not name are read from the
 * worker's control block.
 *
 * @param progress null if there is no segment to read
 */
export function workerFailure(fault: WorkerFault, progress: RankProgress | null): WorkerFailure {
  const { rank, pid, code, signal } = fault;
  const { code: errorCode, message, context } = fault.error;
  return {
    rank,
    pid,
    code: errorCode,
    message,
    step: context.step ?? progress?.step ?? -1,
    layer: context.layer ?? progress?.operation?.layer ?? -1,
    operation: context.operation ?? describeProgress(progress),
    timeMs: Date.now(),
    exitCode: code ?? -1,
    signal: signal ?? '',
  };
}

/** Describes the collective a worker is in, or its last one; empty before the first. */
export function describeOperation({ operation }: RankProgress): string {
  if (operation === null) return '';
  const layer = operation.layer === undefined ? '' : ` layer ${operation.layer}`;
  const active = operation.active ? '' : 'after ';
  return `${active}${operation.kind} ${operation.purpose}${layer} (operation ${operation.sequence})`;
}

/** Describes phase and collective; empty before the worker has attached. */
function describeProgress(progress: RankProgress | null): string {
  if (progress === null || progress.pid === 0) return '';
  return [progress.phase, describeOperation(progress)].filter(Boolean).join(', ');
}
