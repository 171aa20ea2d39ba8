import { z } from 'zod';
import { placementSchema } from './groups/placement-file.js';
import { count, positive, real } from './numeric-fields.js';

/** Fields of `moe:` shared by all routers. */
export const commonFields = {
  numExperts: positive.min(2).describe('experts in each sparse layer'),
  dFeedForward: positive
    .nullable()
    .default(null)
    .describe(
      'hidden size of an expert; null: model.dFeedForward. Narrower ones, more of them to a token, are fine-grained (DeepSeekMoE)',
    ),
  sharedExperts: count
    .default(0)
    .describe('experts that every token passes through, beside those that the router chooses (DeepSeekMoE)'),
  sharedExpertGate: z
    .boolean()
    .default(false)
    .describe(
      'a learned gate weighs the sum of the shared experts for each token (Qwen2Moe); family llama alone',
    ),
  expertGroups: positive
    .default(1)
    .describe('level 1: number of expert groups; domain i uses group i mod groups; 1 turns level 1 off'),
  capacityFactor: real
    .positive()
    .nullable()
    .default(1.25)
    .describe('classic capacity = ceil(factor * tokens * k / experts); null drops nothing'),
  auxiliaryLossWeight: real.min(0).default(0.01).describe('alpha of the load-balance loss'),
  subModel: z
    .strictObject({
      domain: z.string().min(1).describe('the domain whose group of experts the model has'),
      domains: z
        .array(z.string().min(1))
        .min(2)
        .readonly()
        .describe('those of the whole model, by domain id'),
    })
    .nullable()
    .default(null)
    .describe(
      'written by an export of a sub-model: the model has the experts of one domain alone; null: it is whole',
    ),
  placement: placementSchema
    .nullable()
    .default(null)
    .describe(
      'rank of each expert in each sparse layer, or the path of the file that `locmoe routes place` writes; null: each rank has ' +
        'consecutive experts',
    ),
};

export type CommonMoe = {
  readonly [Field in keyof typeof commonFields]: z.output<(typeof commonFields)[Field]>;
};
