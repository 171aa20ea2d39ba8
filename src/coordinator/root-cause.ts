import { nodeOf } from '../collectives/topology.js';
import { type ErrorCode, TrainerError } from '../errors.js';
import type { WorkerFailure, WorkerProgress } from '../rpc/generated/messages.js';

/** How a process ended, as far as it is known. */
export interface ProcessEnd {
  readonly how: string;
  readonly exitCode: number | null;
  readonly signal: string | null;
}

/** Describes the end of a process whose exit was not observed. */
export function endUnknown(how: string): ProcessEnd {
  return { how, exitCode: null, signal: null };
}

/** The process to blame: a worker, or a node agent if `rank` is null. Fields that do not apply are null. */
export interface Culprit {
  readonly rank: number | null;
  readonly node: number;
  readonly pid: number | null;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly step: number | null;
  readonly layer: number | null;
  readonly operation: string | null;
}

/** Why a run failed and who is to blame; the error's context tells where the failure was detected. */
export interface RootCause {
  readonly error: TrainerError;
  /** Null if no process of the run is to blame. */
  readonly culprit: Culprit | null;
}

/** Everything known when a run fails. */
export interface FailureEvidence {
  readonly failures: readonly WorkerFailure[];
  /** First node whose session broke. */
  readonly lostNode: RootCause | null;
  readonly worldSize: number;
  readonly workersPerNode: number;
  readonly progress: Pick<ReadonlyMap<number, WorkerProgress>, 'get'>;
  /** Advice about a configured link that may be slower than the deadline; null if there is none. */
  readonly slowLink: string | null;
}

/**
 * Ranks errors as explanations: a lower number explains a higher one, as a death explains a broken stream, and a thrown
 * error a time-out.
 */
function priority(code: string): number {
  if (code === 'ABORTED') return 5;
  if (code === 'COLLECTIVE_TIMEOUT') return 4;
  if (code === 'NODE_LOST') return 3;
  if (code === 'BAD_MESSAGE') return 2;
  if (code === 'COLLECTIVE_MISMATCH') return 1;
  return 0;
}

/**
 * Finds the one error that explains a failed run: the first report that no other report explains. If there are only
 * time-outs, the rank that reported nothing is the one that hangs.
 */
export function rootCause(evidence: FailureEvidence): RootCause {
  // The sort is stable, so the first to arrive wins among equals: clocks of machines differ, and may jump.
  const [first] = [...evidence.failures].sort((a, b) => priority(a.code) - priority(b.code));
  if (evidence.lostNode !== null && (first === undefined || priority(first.code) > 1))
    return evidence.lostNode;
  if (first === undefined)
    return { error: new TrainerError('INTERNAL', 'the run failed, but no rank said why'), culprit: null };
  if (first.code === 'NODE_LOST' || first.code === 'BAD_MESSAGE') return streamFailure(first, evidence);
  if (first.code !== 'COLLECTIVE_TIMEOUT')
    return { error: asError(first, first.message, evidence), culprit: culpritOf(first, evidence) };

  const heardOf = new Set(evidence.failures.map((failure) => failure.rank));
  const silent = Array.from({ length: evidence.worldSize }, (_, rank) => rank).filter(
    (rank) => !heardOf.has(rank),
  );
  // If all ranks timed out, none hangs: the bytes are still on a slow link.
  if (silent.length === 0 && evidence.slowLink !== null)
    return { error: asError(first, `${first.message}; ${evidence.slowLink}`, evidence), culprit: null };
  const hanging = silent.map((rank) => describe(rank, evidence)).join('; ');
  return {
    error: asError(first, hanging === '' ? first.message : `${first.message}; ${hanging}`, evidence),
    culprit: hangingCulprit(silent, evidence) ?? culpritOf(first, evidence),
  };
}

/** Attributes a broken data stream, which agents report under their first rank, to the remote side or the network. */
function streamFailure(failure: WorkerFailure, evidence: FailureEvidence): RootCause {
  const { code, message, context } = asError(failure, failure.message, evidence);
  return {
    error: new TrainerError(code, message, { node: context.node, step: context.step }),
    culprit: null,
  };
}

function culpritOf(failure: WorkerFailure, { workersPerNode }: FailureEvidence): Culprit {
  return {
    rank: failure.rank,
    node: nodeOf({ workersPerNode }, failure.rank),
    pid: failure.pid,
    exitCode: failure.exitCode >= 0 ? failure.exitCode : null,
    signal: failure.signal || null,
    step: failure.step >= 0 ? failure.step : null,
    layer: failure.layer >= 0 ? failure.layer : null,
    operation: failure.operation || null,
  };
}

/** Chooses a silent rank that is stopped, else the first silent one, in its last known state. */
function hangingCulprit(
  silent: readonly number[],
  { progress, workersPerNode }: FailureEvidence,
): Culprit | null {
  const rank = silent.find((each) => progress.get(each)?.processState === 'T') ?? silent[0];
  if (rank === undefined) return null;
  const last = progress.get(rank);
  return {
    rank,
    node: nodeOf({ workersPerNode }, rank),
    pid: last?.pid ?? null,
    exitCode: null,
    signal: null,
    step: last?.step ?? null,
    layer: last === undefined || last.layer < 0 ? null : last.layer,
    operation: last === undefined ? null : [last.phase, last.operation].filter(Boolean).join(', '),
  };
}

function describe(rank: number, { progress, workersPerNode }: FailureEvidence): string {
  const last = progress.get(rank);
  const place = `rank ${rank} (node ${nodeOf({ workersPerNode }, rank)}`;
  if (last === undefined) return `${place}) was never heard of`;
  const state = last.processState === 'T' ? 'is stopped (SIGSTOP)' : 'does not answer';
  const where = [`step ${last.step}`, last.phase, last.operation].filter(Boolean).join(', ');
  return `${place}, pid ${last.pid}) ${state}, last seen in ${where}`;
}

function asError(failure: WorkerFailure, message: string, { workersPerNode }: FailureEvidence): TrainerError {
  return new TrainerError(failure.code as ErrorCode, message, {
    rank: failure.rank,
    node: nodeOf({ workersPerNode }, failure.rank),
    step: failure.step >= 0 ? failure.step : undefined,
    layer: failure.layer >= 0 ? failure.layer : undefined,
    operation: failure.operation || undefined,
  });
}
