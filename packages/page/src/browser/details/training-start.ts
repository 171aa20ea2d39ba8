import { queryLines } from '../logs/log-line.js';
import { runSelector } from '../loki.js';
import type { RunData } from '../overview/run-data.js';

/** Facts that ranks log when they begin to train. */
export interface TrainingStart {
  readonly kernels: string | null;
  readonly parameters: number | null;
}

/** A generation trains within this time, if at all. */
const START_MS = 1_800_000;

/** Fetches the start of the last generation that trained; null if none has, or if the log does not say. @throws RequestError */
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
