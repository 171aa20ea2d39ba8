import { queryLines } from '../logs/log-line.js';
import { runSelector } from '../loki.js';
import type { RunData } from '../overview/run-data.js';

/** Facts that ranks log when they begin to train. */
export interface TrainingStart {
  readonly kernels: string | null;
  readonly parameters: number | null;
}

/** A generation that trains at all starts to train within this time. */
const START_MS = 1_800_000;

/**
 * Fetches the facts that the last trained generation logged at its start; null if none has trained or the log
 * lacks them.
 *
 * @throws RequestError
 */
export async function fetchTrainingStart(run: RunData): Promise<TrainingStart | null> {
  const trained = run.generationSpans.findLast(({ trainedAt }) => trainedAt !== null);
  const since = trained?.beganAt ?? run.startedAt;
  const [line] = await queryLines({
    query: `${runSelector(run.runId)} |= "training from step" | json | kernels != ""`,
    start: since - 1_000,
    end: since + START_MS,
    limit: 1,
    direction: 'forward',
  });
  if (line === undefined) return null;
  const { kernels, parameters } = line.fields;
  return { kernels: kernels ?? null, parameters: parameters === undefined ? null : Number(parameters) };
}
