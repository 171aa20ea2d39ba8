import { unless } from '../routing/policy.js';
import { OF_MIXTRAL } from './model-schema.js';
import type { RunConfig } from './schema.js';

type ModelRule = (sections: Pick<RunConfig, 'model'>) => ReturnType<typeof unless>;

/** Checks of what a family takes. */
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
        unless(
          model.family === 'mixtral' || model[field] === null,
          `model.${field}`,
          `is for model.family mixtral alone, and this is ${model.family}; leave it out`,
        ),
  ),
];

/** @param isWritten whether it is asked for, not only the default */
export function queryLayerRule(isWritten: boolean): ModelRule {
  return ({ model: { family } }) =>
    unless(
      family === 'pangu-sigma' || !isWritten,
      'model.queryLayer',
      `is for model.family pangu-sigma alone, and this is ${family}; leave it out`,
    );
}
