import type { RunDetail } from '../api-types.js';
import type { ContactState } from './contact.js';
import { formatClock } from './format.js';

/** Words of the page for a run's state. */
export interface RunStatus {
  /** Names the colour of the state's dot. */
  readonly kind: string;
  readonly word: string;
  /** Whether the run is still going, as far as the page can know. */
  readonly isLive: boolean;
  /** Whether the run trains and its steps are recorded, so that there is a current speed. */
  readonly isTraining: boolean;
  /** How the run ended; null while it is going. */
  readonly ending: 'finished' | 'stopped' | 'failed' | 'dead' | 'no-contact' | null;
}

type Known = Pick<RunDetail, 'state' | 'isLive' | 'generation' | 'generations' | 'notRecordingSince'>;

/** Describes a run. If its server does not answer, it may have ended in any way, and does not count as live. */
export function statusOf(
  { state, isLive, generation, generations, notRecordingSince }: Known,
  contact: ContactState,
): RunStatus {
  const which = generation > 1 ? ` · generation ${generation}` : '';
  if (isLive && contact === 'ok' && notRecordingSince !== null) {
    const word = `not recording since ${formatClock(notRecordingSince, false)}${which}`;
    return { kind: 'not-recording', word, isLive, isTraining: false, ending: null };
  }
  if (isLive && contact === 'ok') {
    const isTraining = state === 'running' || state === 'stopping';
    return { kind: state, word: `${state}${which}`, isLive, isTraining, ending: null };
  }
  const ended = (ending: NonNullable<RunStatus['ending']>, word: string = ending): RunStatus => {
    return { kind: ending, word, isLive: false, isTraining: false, ending };
  };
  if (isLive) return ended('no-contact', 'no contact');
  if (state === 'dead') return ended('dead', 'coordinator gone');
  if (state === 'failed') return ended('failed', `failed${which}`);
  return ended(generations.at(-1)?.end === 'stopped' ? 'stopped' : 'finished');
}
