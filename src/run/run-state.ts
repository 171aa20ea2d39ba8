import type { TrainerError } from '../errors.js';

/**
 * The life of a run.
 *
 * ```
 * waiting --(every node has a session)--> starting --(every worker is ready)--> running --> finished
 *                                                                       running --> stopping --> finished
 * waiting --(a stop, where nodes come from elsewhere)--> finished
 * any but finished --> failed
 * ```
 * `stopping`: a final checkpoint was asked for; with a `cause`, the run fails once it is saved. `finished` and
 * `failed` are final.
 */
export type RunState =
  | { readonly kind: 'waiting' }
  | { readonly kind: 'starting' }
  | { readonly kind: 'running' }
  | { readonly kind: 'stopping'; readonly reason: string; readonly cause: TrainerError | null }
  | { readonly kind: 'finished'; readonly stoppedEarly: boolean }
  | { readonly kind: 'failed'; readonly error: TrainerError };

export type RunEvent =
  | { readonly type: 'nodes-complete' }
  | { readonly type: 'workers-ready' }
  | { readonly type: 'stop'; readonly reason: string; readonly cause: TrainerError | null }
  | { readonly type: 'stopped-waiting' }
  | { readonly type: 'all-finished'; readonly stoppedEarly: boolean }
  | { readonly type: 'failure'; readonly error: TrainerError };

/** The state after an event; an event that does not apply leaves the state as it is. */
export function transition(state: RunState, event: RunEvent): RunState {
  if (state.kind === 'finished' || state.kind === 'failed') return state;
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
      return state.kind === 'waiting' ? { kind: 'finished', stoppedEarly: true } : state;
    case 'all-finished':
      return cause === null
        ? { kind: 'finished', stoppedEarly: event.stoppedEarly }
        : { kind: 'failed', error: cause };
    case 'failure':
      return { kind: 'failed', error: cause ?? event.error };
  }
}
