import { z } from 'zod';
import { positive } from '../numeric-fields.js';
import { type MoeRule, type MoeWith, unless } from '../policy.js';

export const topKField = {
  expertsPerToken: positive
    .default(1)
    .describe(
      "K: experts that a token takes of its domain's; with more than one, their weights sum to 1 (but see renormalize)",
    ),
};

export const renormalizeField = {
  renormalize: z
    .boolean()
    .default(true)
    .describe(
      'false: each of several experts has its probability as its weight, as in Qwen2Moe; family llama alone',
    ),
};

/** Checks that a domain has enough experts, as a token cannot choose an expert twice. */
export const topKFits: MoeRule<MoeWith<typeof topKField>> = ({ numExperts, expertGroups, expertsPerToken }) =>
  unless(
    expertsPerToken <= Math.floor(numExperts / expertGroups),
    'expertsPerToken',
    `${expertsPerToken}, but a domain has ${Math.floor(numExperts / expertGroups)} experts: numExperts over expertGroups`,
  );
