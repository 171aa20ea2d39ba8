import { add, ofId } from '../../architecture/build-rule.js';
import type { Scores } from '../../architecture/rule.js';
import { CounterRandom } from '../../parameters/counter-random.js';
import { real } from '../numeric-fields.js';
import type { MoeWith } from '../policy.js';
import type { RouterContext } from '../router.js';

// Shapes: E experts, V vocabulary.

export const tokenPreferenceField = {
  tokenPreference: real
    .min(0)
    .default(0)
    .describe(
      "strength of a fixed random preference of each token id for experts, in units of the spread of an untrained gate's scores; 0 for none",
    ),
};

type PreferringMoe = MoeWith<typeof tokenPreferenceField>;

/**
 * Returns a fixed preference of each token id for experts as the state of a router, [V, E], which is empty without one. It is added
 * to the scores of a learned gate: independent normal numbers for each layer, token id and expert. In RRE (PanGu-Sigma, arXiv
 * 2303.10845), a table of token ids alone decides; here the preference is one summand, and the starting point from which the gate
 * learns.
 *
 * @param spread standard deviation of an untrained gate's scores
 */
export function preferenceState(
  { moe, layer, vocabSize, seed }: RouterContext<PreferringMoe>,
  spread: number,
): ReadonlyMap<string, Float32Array> {
  if (moe.tokenPreference === 0) return new Map();
  const preferenceVE = new Float32Array(vocabSize * moe.numExperts);
  new CounterRandom(seed, `layers.${layer}.router.preference`).fillNormal(
    preferenceVE,
    moe.tokenPreference * spread,
  );
  return new Map([['preference', preferenceVE]]);
}

/** Returns the scores with the preference of the token's id, if there is one. */
export function withPreference(scores: Scores, { tokenPreference }: PreferringMoe): Scores {
  return tokenPreference === 0 ? scores : add(scores, ofId('preference'));
}

/** Returns the factor by which a preference increases the spread of the scores. */
export function spreadWithPreference({ tokenPreference }: PreferringMoe): number {
  return Math.hypot(1, tokenPreference);
}
