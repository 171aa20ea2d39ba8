import type { TrainerError } from '../errors.js';

/**
 * States of a run, and of each generation.
 *
 * ```
 * waiting --(every node has a session)--> starting --(every worker is ready)--> running --> finished
 *                                                                       running --> stopping --> finished
 * waiting --(a stop, where nodes come from elsewhere)--> finished
 * any but finished --> failed
 * any but stopping and finished --> restarting
 * ```
 * `stopping`: a final checkpoint was asked for; with a `cause`, the run fails once it is saved. `restarting`: this
 * generation has failed, and the next one begins with `waiting`. `finished` and `failed` are final for the run,
 * `restarting` for its generation.
 */
export type RunState =
  | { readonly kind: 'waiting' }
  | { readonly kind: 'starting' }
  | { readonly kind: 'running' }
  | { readonly kind: 'stopping'; readonly reason: string; readonly cause: TrainerError | null }
  /** `stopped`: what ended it early, such as `SIGINT`; null if it ran to its end. */
  | { readonly kind: 'finished'; readonly stopped: string | null }
  | { readonly kind: 'restarting'; readonly error: TrainerError }
  | { readonly kind: 'failed'; readonly error: TrainerError };

export type RunEvent =
  | { readonly type: 'nodes-complete' }
  | { readonly type: 'workers-ready' }
  | { readonly type: 'stop'; readonly reason: string; readonly cause: TrainerError | null }
  | { readonly type: 'stopped-waiting'; readonly reason: string }
  | { readonly type: 'all-finished'; readonly stoppedEarly: boolean }
  /** `restarts`: the run is to go on with another generation. */
  | { readonly type: 'failure'; readonly error: TrainerError; readonly restarts: boolean };

/** Tells whether nothing more happens to a generation in this state. */
export function isOver({ kind }: RunState): boolean {
  return kind === 'finished' || kind === 'failed' || kind === 'restarting';
}

function reasonOf(state: RunState): string {
  return state.kind === 'stopping' ? state.reason : 'an earlier coordinator';
}

/** Returns the state after an event; an event that does not apply changes nothing. */
export function transition(state: RunState, event: RunEvent): RunState {
  if (isOver(state)) return state;
  // Whatever fails while the last checkpoint is saved, the first error is reported.
  const cause = state.kind === 'stopping' ? state.cause : null;
  switch (event.type) {
    case 'nodes-complete':
      return state.kind === 'waiting' ? { kind: 'starting' } : state;
    case 'workers-ready':
      return state.kind === 'starting' ? { kind: 'running' } : state;
    case 'stop':
      return state.kind === 'running' || (state.kind === 'stopping' && cause === null && event.cause !== null)
        ? { kind: 'stopping', reason: event.reason, cause: event.cause }
        : state;
    case 'stopped-waiting':
      return state.kind === 'waiting' ? { kind: 'finished', stopped: event.reason } : state;
    case 'all-finished':
      return cause === null
        ? { kind: 'finished', stopped: event.stoppedEarly ? reasonOf(state) : null }
        : { kind: 'failed', error: cause };
    case 'failure':
      return event.restarts
        ? { kind: 'restarting', error: event.error }
        : { kind: 'failed', error: cause ?? event.error };
  }
}
