import type { PlanSettings } from '../coordinator/planning/run-options.js';
import { formatLeft, ProgressLine, type Screen, screenOf } from './progress-line.js';

export function preparationView(
  screen: Screen,
  nowMs?: () => number,
): Pick<PlanSettings, 'say' | 'progress'> {
  const line = new ProgressLine(screen, nowMs);
  const mega = (bytes: number) => (bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0);
  return {
    say: (text) => line.say(text),
    progress({ doneBytes, totalBytes, bytesPerS, secondsLeft }) {
      const left = secondsLeft === null ? '' : `, ${formatLeft(secondsLeft)} left`;
      const share = doneBytes / Math.max(totalBytes, 1);
      line.show(`data: ${mega(doneBytes)} of ${mega(totalBytes)} MB, ${mega(bytesPerS)} MB/s${left}`, share);
    },
  };
}

/** Creates a view for a command that prepares text on its way to something else. */
export function preparationViewOn(stream: NodeJS.WriteStream): ReturnType<typeof preparationView> {
  return preparationView(screenOf(stream));
}
