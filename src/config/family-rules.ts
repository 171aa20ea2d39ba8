import { unless } from '../routing/policy.js';
import { OF_MIXTRAL } from './model-schema.js';
import type { RunConfig } from './schema.js';

type ModelRule = (sections: Pick<RunConfig, 'model' | 'moe'>) => ReturnType<typeof unless>;

/** Checks of the fields that a family supports. */
export const FAMILY_RULES: readonly ModelRule[] = [
  ({ model: { family, numHeads, numKeyValueHeads } }) =>
    unless(
      family === 'pangu-sigma' || numHeads % (numKeyValueHeads ?? numHeads) === 0,
      'model.numKeyValueHeads',
      `numHeads ${numHeads} is not divisible by numKeyValueHeads ${numKeyValueHeads}`,
    ),
  ({ model: { family, dModel, numHeads, headDim } }) =>
    unless(
      family === 'pangu-sigma' || (headDim ?? dModel / numHeads) % 2 !== 1,
      headDim === null ? 'model.numHeads' : 'model.headDim',
      `heads of ${headDim ?? dModel / numHeads} coordinates cannot be rotated in pairs (model.family ${family}); their size must be even`,
    ),
  ({ model: { ropeScaling } }) =>
    unless(
      ropeScaling?.type !== 'llama3' || ropeScaling.lowFreqFactor < ropeScaling.highFreqFactor,
      'model.ropeScaling.highFreqFactor',
      'must be more than lowFreqFactor, as frequencies between the two are interpolated',
    ),
  ...OF_MIXTRAL.map(
    (field): ModelRule =>
      ({ model }) =>
        ofMixtral(model, `model.${field}`, model[field] !== null),
  ),
  ({ model, moe }) => ofMixtral(model, 'moe.sharedExpertGate', moe.sharedExpertGate),
  ({ model, moe }) => ofMixtral(model, 'moe.renormalize', !moe.renormalize),
  ({ model: { family }, moe: { sharedExpertGate, sharedExperts } }) =>
    unless(
      family === 'pangu-sigma' || !sharedExpertGate || sharedExperts > 0,
      'moe.sharedExpertGate',
      'is the gate of shared experts, and moe.sharedExperts is 0',
    ),
];

function ofMixtral({ family }: RunConfig['model'], field: string, isWanted: boolean) {
  return unless(
    family === 'mixtral' || !isWanted,
    field,
    `is for model.family mixtral alone, and this is ${family}; leave it out`,
  );
}

/** @param isWritten whether the configuration sets the field, so that it is not merely the default */
export function queryLayerRule(isWritten: boolean): ModelRule {
  return ({ model: { family } }) =>
    unless(
      family === 'pangu-sigma' || !isWritten,
      'model.queryLayer',
      `is for model.family pangu-sigma alone, and this is ${family}; leave it out`,
    );
}
