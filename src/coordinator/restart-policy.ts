import type { JournalStart } from '@locmoe/run-format';
import type { ErrorCode } from '../errors.js';
import { formatNumberOf } from '../format.js';
import type { RestartBudget } from '../run/restart-budget.js';
import type { RunState } from '../run/run-state.js';
import type { RunFailure } from './coordinator-options.js';

/** Errors after which another try may succeed; all others have a lasting cause, or were requested. */
const RECOVERABLE: readonly ErrorCode[] = [
  'WORKER_DIED',
  'WORKER_HUNG',
  'NODE_LOST',
  'COLLECTIVE_TIMEOUT',
  'COLLECTIVE_MISMATCH',
  'BAD_MESSAGE',
  'NOT_FINITE',
  'INTERNAL',
];
/** Errors that may be transient while a run trains, such as a file server that is away for a moment. */
const RECOVERABLE_IN_TRAINING: readonly ErrorCode[] = [...RECOVERABLE, 'NO_RESOURCE'];
/** Errors of a snapshot that is damaged, or whose files vanish while they are read. */
const SNAPSHOT_LOST: readonly ErrorCode[] = ['BAD_CHECKPOINT', 'NO_RESOURCE'];

/** Decides whether a run restarts after a failure: within its budget, and unless the same failure repeats. */
export class RestartPolicy {
  #last: string | null = null;
  #whyNot: string | null = null;
  /** Furthest step that a rank had reached at a failure, and the number of failures since then without further progress. */
  #furthestStep = 0;
  #numInVain = 0;

  constructor(private readonly budget: RestartBudget) {}

  /** Why the last recoverable failure led to no restart; null if there is none. */
  get whyNot(): string | null {
    return this.#whyNot;
  }

  /**
   * Spends a restart if the policy allows one.
   *
   * @param state state in which the failure happened; a stopping run is not restarted
   * @param startsFrom what the generation starts from
   */
  decide(
    failure: RunFailure,
    state: RunState['kind'],
    startsFrom: JournalStart['kind'] = 'checkpoint',
  ): boolean {
    // A snapshot that does not load counts as absent: the next generation starts from a checkpoint, at no cost to the budget.
    if (startsFrom === 'snapshot' && state === 'starting' && SNAPSHOT_LOST.includes(failure.error.code))
      return true;
    const { max, windowS } = this.budget;
    const codes = state === 'running' ? RECOVERABLE_IN_TRAINING : RECOVERABLE;
    if (max === 0 || state === 'stopping' || !codes.includes(failure.error.code)) return false;
    const step = Math.max(0, ...failure.ranks.map((rank) => rank.step));
    this.#numInVain = step > this.#furthestStep ? 1 : this.#numInVain + 1;
    this.#furthestStep = Math.max(this.#furthestStep, step);
    const before = this.#last;
    this.#last = signatureOf(failure);
    if (this.#last !== null && this.#last === before)
      this.#whyNot = 'the same failure occurred twice in a row, so another restart would fail, too';
    else if (this.#numInVain > max + 1)
      this.#whyNot = `${this.#numInVain} generations did not get past step ${this.#furthestStep} (cluster.maxRestarts)`;
    else if (this.budget.left <= 0)
      this.#whyNot = `${formatNumberOf(max, 'restart')} within ${windowS} s are used up (cluster.maxRestarts, cluster.restartWindow)`;
    else this.budget.spend();
    return this.#whyNot === null;
  }
}

/**
 * Returns equal texts for failures of the same rank at the same step with the same error, and null for a failure with
 * an external cause, such as a signal or a broken connection.
 */
function signatureOf({ error, culprit }: RunFailure): string | null {
  const isKilled = /killed by SIG(KILL|TERM|INT|HUP|STOP)(?!.*out of memory)|stopped \(SIGSTOP\)/.test(
    error.message,
  );
  if (isKilled || (error.code === 'NODE_LOST' && !error.message.includes('ended with code'))) return null;
  const rank = culprit?.rank ?? error.context.rank ?? null;
  const step = culprit?.step ?? error.context.step ?? null;
  if (rank === null && step === null) return null;
  // Digits are masked because pids and times differ between failures.
  return JSON.stringify([rank, step, error.code, error.message.replace(/\d+/g, '#')]);
}
