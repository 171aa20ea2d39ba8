import type { Watch } from '../../evaluation/in-batches.js';
import { interruptible } from '../../os/on-signals.js';
import { QuestionProgress } from './question-progress.js';
import type { ScorerPool } from './scorer-pool.js';

/**
 * Asks questions and shows progress until all are answered, or until Ctrl-C; then the processes of `scorer` end.
 *
 * @throws TrainerError `INTERRUPTED`
 */
export async function untilAnswered<Result>(
  scorer: ScorerPool,
  numQuestions: number,
  ask: (watch: Watch) => Promise<Result>,
): Promise<Result> {
  const progress = new QuestionProgress(numQuestions);
  try {
    return await interruptible('ended before all questions were answered', (signal) => {
      signal.addEventListener('abort', () => scorer.close());
      return ask({ signal, onProgress: progress.show });
    });
  } finally {
    progress.end();
    scorer.close();
  }
}
