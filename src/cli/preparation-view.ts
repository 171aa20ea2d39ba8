import type { PrepareProgress } from '../data/prepare/progress-meter.js';
import { formatLeft, ProgressLine, screenOf } from './progress-line.js';
import type { Screen } from './progress-view.js';

/** Shows the progress of preparing text. */
export class PreparationView {
  readonly #line: ProgressLine;

  constructor(screen: Screen, nowMs?: () => number) {
    this.#line = new ProgressLine(screen, nowMs);
  }

  readonly say = (line: string): void => this.#line.say(line);

  readonly progress = (progress: PrepareProgress): void => {
    const { doneBytes, totalBytes } = progress;
    this.#line.show(`data: ${describe(progress)}`, doneBytes / Math.max(totalBytes, 1));
  };
}

function describe({ doneBytes, totalBytes, bytesPerS, secondsLeft }: PrepareProgress): string {
  const mega = (bytes: number) => (bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0);
  const left = secondsLeft === null ? '' : `, ${formatLeft(secondsLeft)} left`;
  return `${mega(doneBytes)} of ${mega(totalBytes)} MB, ${mega(bytesPerS)} MB/s${left}`;
}

/** Creates a view for a command that prepares text on its way to something else. */
export function preparationViewOn(stream: NodeJS.WriteStream): PreparationView {
  return new PreparationView(screenOf(stream));
}
