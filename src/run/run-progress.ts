/** The best validation of a run so far. */
export interface BestValidation {
  readonly step: number;
  /** Mean over the validation tokens of all domains, in nats. */
  readonly loss: number;
  /** Number of validations since then, none of which was better. */
  readonly since: number;
}

/** Returns the best validation after one more, which is better if it is lower by more than `minDelta`. */
export function bestAfter(
  best: BestValidation | null,
  { step, loss }: Pick<BestValidation, 'step' | 'loss'>,
  minDelta: number,
): BestValidation | null {
  if (Number.isFinite(loss) && (best === null || loss < best.loss - minDelta))
    return { step, loss, since: 0 };
  return best && { ...best, since: best.since + 1 };
}

/** Progress besides the steps that decides whether a run is done; kept among its checkpoints' metrics. */
export interface RunProgress {
  /** Time in the training loop over all resumes, validations and checkpoints included. */
  readonly trainingSeconds: number;
  /** Null before the first validation, and without train.earlyStop. */
  readonly best: BestValidation | null;
}

export function metricsOfProgress({ trainingSeconds, best }: RunProgress): Record<string, number> {
  if (best === null) return { trainingSeconds };
  return {
    trainingSeconds,
    bestStep: best.step,
    bestValidationLoss: best.loss,
    validationsSinceBest: best.since,
  };
}

/** Reads the progress from a checkpoint's metrics; zero for a checkpoint of an earlier version. */
export function progressOfMetrics(metrics: Readonly<Record<string, number>>): RunProgress {
  const { trainingSeconds = 0, bestStep, bestValidationLoss, validationsSinceBest } = metrics;
  if (bestStep === undefined || bestValidationLoss === undefined || validationsSinceBest === undefined)
    return { trainingSeconds, best: null };
  const best = { step: bestStep, loss: bestValidationLoss, since: validationsSinceBest };
  return { trainingSeconds, best };
}
