/** The best validation of a run so far. */
export interface BestValidation {
  readonly step: number;
  /** Mean over the validation tokens of all domains, in nats. */
  readonly loss: number;
  /** Validations after it, none of them better. */
  readonly since: number;
}

/** The best after one more validation, which is better if it is lower by more than `minDelta`. */
export function bestAfter(
  best: BestValidation | null,
  { step, loss }: Pick<BestValidation, 'step' | 'loss'>,
  minDelta: number,
): BestValidation | null {
  if (Number.isFinite(loss) && (best === null || loss < best.loss - minDelta))
    return { step, loss, since: 0 };
  return best && { ...best, since: best.since + 1 };
}
