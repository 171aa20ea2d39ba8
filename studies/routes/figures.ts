import type { Choices } from './choices.js';
import type { Recording } from './recording.js';

/** A part is null where it was not measured yet. */
export interface Figures {
  readonly choices: Choices | null;
  readonly recording: Recording | null;
}
