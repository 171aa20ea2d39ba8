import { type ErrorCode, TrainerError } from '../errors.js';
import type { WorkerFailure, WorkerProgress } from '../rpc/messages.js';

/** What is known when a run fails. */
export interface FailureEvidence {
  readonly failures: readonly WorkerFailure[];
  /** The first node whose session broke. */
  readonly lostNode: TrainerError | null;
  readonly worldSize: number;
  readonly workersPerNode: number;
  /** The newest heartbeat of each rank. */
  readonly progress: ReadonlyMap<number, WorkerProgress>;
}

/** Lower numbers explain higher ones, never the other way round: a death a broken stream, a thrown error a time-out. */
function priority(code: string): number {
  if (code === 'ABORTED') return 4;
  if (code === 'COLLECTIVE_TIMEOUT') return 3;
  if (code === 'NODE_LOST') return 2;
  if (code === 'COLLECTIVE_MISMATCH') return 1;
  return 0;
}

/**
 * The one error that explains a failed run: the first by time among those that others cannot explain. If all that is
 * known are time-outs, the rank that reported nothing at all is the one that hangs.
 */
export function rootCause(evidence: FailureEvidence): TrainerError {
  const [first] = [...evidence.failures].sort(
    (a, b) => priority(a.code) - priority(b.code) || a.timeMs - b.timeMs,
  );
  if (evidence.lostNode !== null && (first === undefined || priority(first.code) > 1))
    return evidence.lostNode;
  if (first === undefined) return new TrainerError('INTERNAL', 'the run failed, but no rank said why');
  if (first.code !== 'COLLECTIVE_TIMEOUT') return asError(first, first.message, evidence);

  const heardOf = new Set(evidence.failures.map((failure) => failure.rank));
  const silent = Array.from({ length: evidence.worldSize }, (_, rank) => rank).filter(
    (rank) => !heardOf.has(rank),
  );
  const hanging = silent.map((rank) => describe(rank, evidence)).join('; ');
  return asError(first, hanging === '' ? first.message : `${first.message}; ${hanging}`, evidence);
}

function describe(rank: number, { progress, workersPerNode }: FailureEvidence): string {
  const last = progress.get(rank);
  const place = `rank ${rank} (node ${Math.floor(rank / workersPerNode)}`;
  if (last === undefined) return `${place}) was never heard of`;
  const state = last.processState === 'T' ? 'is stopped (SIGSTOP)' : 'does not answer';
  const where = [`step ${last.step}`, last.phase, last.operation].filter(Boolean).join(', ');
  return `${place}, pid ${last.pid}) ${state}, last seen in ${where}`;
}

function asError(failure: WorkerFailure, message: string, { workersPerNode }: FailureEvidence): TrainerError {
  return new TrainerError(failure.code as ErrorCode, message, {
    rank: failure.rank,
    node: Math.floor(failure.rank / workersPerNode),
    step: failure.step >= 0 ? failure.step : undefined,
    layer: failure.layer >= 0 ? failure.layer : undefined,
    operation: failure.operation || undefined,
  });
}
