import { denseGateCosines, denseGateSpecs } from './dense-gate.js';
import { denseRouter } from './dense-router.js';
import { countBytes } from './gather-counts.js';
import { argmaxOfRows } from './group-choice.js';
import { defineRouter } from './policy.js';
import { tokenPreferenceField } from './token-preference.js';

// Shapes: T tokens of this rank, d hidden size, E experts.

/**
 * Switch routing (arXiv 2101.03961, eq. 1 and 2): a learned dense gate W_g, softmax over the experts of the
 * domain's group, top-1 weighted by its probability; load-balance loss (eq. 4).
 *
 * Evaluation drops nothing, so a token's output does not depend on the rest of its batch.
 */
export const switchRouter = defineRouter({
  fields: tokenPreferenceField,
  shapedBy: ['tokenPreference'],
  parameters: denseGateSpecs,
  price: ({ numExperts: E }, { numTokens: T, dModel: d }) => ({
    forward: { flops: 2 * T * d * E, touched: 30 * T * E, operations: 50 },
    backward: { flops: 4 * T * d * E, touched: 3 * T * d + 25 * T * E, operations: 28 },
    hostNs: 0,
    gathered: { purpose: 'counts', bytes: countBytes(E) },
    choicesPerToken: 1,
    candidatesPerToken: 0,
    weighted: true,
  }),
  gateCosines: (_, input) => denseGateCosines(input),
  create: (context) => denseRouter(context, 1, argmaxOfRows),
});
