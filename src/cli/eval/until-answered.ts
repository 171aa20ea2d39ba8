import { TrainerError } from '../../errors.js';
import type { Watch } from '../../evaluation/in-batches.js';
import { onSignals } from '../../os/on-signals.js';
import { QuestionProgress } from './question-progress.js';
import type { ScorerPool } from './scorer-pool.js';

/**
 * Asks questions and shows how many are answered, until all are, or until Ctrl-C; then the processes of `scorer` end.
 *
 * @throws TrainerError `INTERRUPTED`
 */
export async function untilAnswered<Result>(
  scorer: ScorerPool,
  numQuestions: number,
  ask: (watch: Watch) => Promise<Result>,
): Promise<Result> {
  const stopped = new AbortController();
  const progress = new QuestionProgress(numQuestions);
  const off = onSignals((signal) => {
    stopped.abort(new TrainerError('INTERRUPTED', `${signal}: ended before all questions were answered`));
    scorer.close();
  });
  try {
    return await ask({ signal: stopped.signal, onProgress: progress.show });
  } catch (error) {
    throw stopped.signal.aborted ? stopped.signal.reason : error;
  } finally {
    off();
    progress.end();
    scorer.close();
  }
}
