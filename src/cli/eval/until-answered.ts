import type { Watch } from '../../evaluation/in-batches.js';
import { formatCount } from '../../format.js';
import { interruptible } from '../../os/on-signals.js';
import { formatLeft, ProgressLine, screenOf } from '../progress-line.js';
import type { ScorerPool } from './scorer-pool.js';

/**
 * Asks questions and shows progress until all are answered or Ctrl-C is pressed; then ends the processes of `scorer`.
 *
 * @throws TrainerError `INTERRUPTED` after Ctrl-C
 */
export async function untilAnswered<Result>(
  scorer: ScorerPool,
  numQuestions: number,
  ask: (watch: Watch) => Promise<Result>,
): Promise<Result> {
  const line = new ProgressLine(screenOf(process.stderr));
  const began = performance.now();
  const onProgress = (done: number) => {
    const perS = done / Math.max(1e-3, (performance.now() - began) / 1000);
    const left = formatLeft((numQuestions - done) / perS);
    line.show(
      `eval: ${formatCount(done)} of ${formatCount(numQuestions)} questions, ${formatCount(perS)}/s, ${left} left`,
      done / numQuestions,
    );
  };
  try {
    return await interruptible('ended before all questions were answered', (signal) => {
      signal.addEventListener('abort', () => scorer.close());
      return ask({ signal, onProgress });
    });
  } finally {
    line.clear();
    scorer.close();
  }
}
