import type { RunConfig } from '../config/schema.js';
import type { LanguageModel } from '../model/language-model.js';
import type { TouchedExpert } from '../model/touched-experts.js';
import type { ParameterRange } from '../parameters/parameters.js';
import { adamW, adamWNumbers } from './optimizer.js';

export interface ExpertToUpdate extends TouchedExpert {
  /** Ranges that are not frozen; at least one. */
  readonly ranges: readonly ParameterRange[];
}

/** Returns the experts with tokens in this step; null for all. */
export function expertsToUpdate({
  parameters: { slots },
  touchedExperts,
}: LanguageModel): ExpertToUpdate[] | null {
  const rangesOf = (name: string) => slots!.open(name).filter(({ frozen }) => !frozen);
  return (
    slots &&
    touchedExperts
      .map((expert) => ({ ...expert, ranges: rangesOf(expert.name) }))
      .filter(({ ranges }) => ranges.length > 0)
  );
}

export interface UpdateOptions {
  readonly step: number;
  readonly learningRate: number;
  readonly norm: number;
  /** Null for all experts. */
  readonly touched: readonly ExpertToUpdate[] | null;
}

/** Applies the gradients, whose norm is finite. */
export function updateParameters(
  model: LanguageModel,
  train: RunConfig['train'],
  { step, learningRate, norm, touched }: UpdateOptions,
): void {
  const { shared, expert, slots, onDevice } = model.parameters;
  const options = { ...train, step, learningRate, gradientScale: Math.min(1, train.clipNorm / norm) };
  const ofExperts = { ...options, epsilon: train.expertEpsilon };
  if (onDevice !== null) {
    onDevice.update(({ placement, decay }) =>
      adamWNumbers(placement === 'expert' ? ofExperts : options, decay),
    );
    model.endStep();
    return;
  }
  adamW({ flat: shared.flat, ranges: shared.trained }, options);
  if (touched === null) adamW({ flat: expert.flat, ranges: expert.trained }, ofExperts);
  // An expert's moments have decayed only in the steps that updated it, so only these count for bias correction.
  for (const { name, ranges, updates } of touched ?? []) {
    slots!.willChange(name);
    adamW({ flat: expert.flat, ranges }, { ...ofExperts, step: updates + 1 });
  }
  model.parameters.pushValues(touched?.map(({ name }) => name));
  model.endStep();
}
