import { unless } from '../routing/policy.js';
import type { RunConfig } from './schema.js';

type ModelRule = (sections: Pick<RunConfig, 'model' | 'moe'>) => ReturnType<typeof unless>;

/** Checks of the fields that a family supports. */
export const FAMILY_RULES: readonly ModelRule[] = [
  ({ model }) =>
    unless(
      model.family !== 'llama' || model.numHeads % (model.numKeyValueHeads ?? model.numHeads) === 0,
      'model.numKeyValueHeads',
      `numHeads ${model.numHeads} is not divisible by numKeyValueHeads ${model.family === 'llama' && model.numKeyValueHeads}`,
    ),
  ({ model }) => {
    if (model.family !== 'llama') return undefined;
    const { dModel, numHeads, headDim } = model;
    const size = headDim ?? dModel / numHeads;
    return unless(
      size % 2 !== 1,
      headDim === null ? 'model.numHeads' : 'model.headDim',
      `heads of ${size} coordinates cannot be rotated in pairs (model.family llama); their size must be even`,
    );
  },
  ({ model }) =>
    unless(
      model.family !== 'llama' ||
        model.ropeScaling?.type !== 'llama3' ||
        model.ropeScaling.lowFreqFactor < model.ropeScaling.highFreqFactor,
      'model.ropeScaling.highFreqFactor',
      'must be more than lowFreqFactor, as frequencies between the two are interpolated',
    ),
  ({ model, moe }) => ofLlama(model, 'moe.sharedExpertGate', moe.sharedExpertGate),
  ({ model, moe }) => ofLlama(model, 'moe.renormalize', !moe.renormalize),
  ({ model: { family }, moe: { sharedExpertGate, sharedExperts } }) =>
    unless(
      family !== 'llama' || !sharedExpertGate || sharedExperts > 0,
      'moe.sharedExpertGate',
      'is the gate of shared experts, and moe.sharedExperts is 0',
    ),
];

function ofLlama({ family }: RunConfig['model'], field: string, isWanted: boolean) {
  return unless(
    family === 'llama' || !isWanted,
    field,
    `is for model.family llama alone, and this is ${family}; leave it out`,
  );
}
