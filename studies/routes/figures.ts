import type { RouterAgreement } from './agreement.js';
import type { Choices } from './choices.js';
import type { Placed } from './placement.js';
import type { Recording } from './recording.js';
import type { Traffic } from './traffic.js';

/** Figures of each part; null for a part that has not been measured yet. */
export interface Figures {
  readonly recording: Recording | null;
  readonly choices: Choices | null;
  readonly agreement: readonly RouterAgreement[] | null;
  readonly traffic: readonly Traffic[] | null;
  readonly placement: readonly Placed[] | null;
}
