import type { RunDetail } from '../api-types.js';
import type { ContactState } from './contact.js';

/** Words of the page for a run's state. */
export interface RunStatus {
  /** Names the colour of its dot. */
  readonly kind: string;
  readonly word: string;
  /** Whether it goes on, as far as the page can know. */
  readonly isLive: boolean;
  /** Why it does not, in short; null while it goes on. */
  readonly ending: 'finished' | 'stopped' | 'failed' | 'dead' | 'no-contact' | null;
}

type Known = Pick<RunDetail, 'state' | 'isLive' | 'generation' | 'generations'>;

/** A run whose server does not answer may have ended in any way: it is not said to go on. */
export function statusOf(
  { state, isLive, generation, generations }: Known,
  contact: ContactState,
): RunStatus {
  const of = (kind: string, word: string, ending: RunStatus['ending']): RunStatus => ({
    kind,
    word,
    ending,
    isLive: ending === null,
  });
  if (isLive && contact !== 'ok') return of('no-contact', 'no contact', 'no-contact');
  const which = generation > 1 ? ` · generation ${generation}` : '';
  if (isLive) return of(state, `${state}${which}`, null);
  if (state === 'dead') return of('dead', 'coordinator gone', 'dead');
  if (state === 'failed') return of('failed', `failed${which}`, 'failed');
  return generations.at(-1)?.end === 'stopped'
    ? of('stopped', 'stopped', 'stopped')
    : of('finished', 'finished', 'finished');
}
