import { add, ofId } from '../architecture/build-rule.js';
import type { Scores } from '../architecture/rule.js';
import { tf } from '../ops/tensorflow.js';
import { CounterRandom } from '../parameters/counter-random.js';
import { real } from './numeric-fields.js';
import type { MoeWith } from './policy.js';
import type { GateScores, RouterContext, RouterInput } from './router.js';

// Shapes: T tokens of this rank, E experts, V vocabulary.

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
 * A fixed preference of each token id for experts, which is added to the scores of a learned gate: independent normal
 * numbers for each layer, token id and expert. In RRE (PanGu-Sigma, arXiv 2303.10845), a table of token ids alone
 * decides; here the preference is one summand, and the starting point from which the gate learns.
 */
export class TokenPreference {
  /** Empty without a preference. */
  readonly state: ReadonlyMap<string, Float32Array> = new Map();
  readonly #numExperts: number;

  /** @param spread standard deviation of an untrained gate's scores */
  constructor({ moe, layer, vocabSize, seed }: RouterContext<PreferringMoe>, spread: number) {
    this.#numExperts = moe.numExperts;
    if (moe.tokenPreference === 0) return;
    const preferenceVE = new Float32Array(vocabSize * moe.numExperts);
    new CounterRandom(seed, `layers.${layer}.router.preference`).fillNormal(
      preferenceVE,
      moe.tokenPreference * spread,
    );
    this.state = new Map([['preference', preferenceVE]]);
  }

  /** Returns the scores with the preference of each token added, [T, E]. */
  addTo(scoresTE: tf.Tensor2D, tokenIdsT: Int32Array): tf.Tensor2D {
    const preferenceTE = this.of(tokenIdsT);
    return preferenceTE === null
      ? scoresTE
      : tf.add(scoresTE, tf.tensor2d(preferenceTE, [tokenIdsT.length, this.#numExperts]));
  }

  /**
   * Returns the scores in a decision for a recording; undefined if nothing is recorded.
   *
   * @param gateTE scores of the gate alone, [T, E]
   * @param biasE bias of each expert, length E; null without biases
   */
  scores(
    { tokenIdsT, wantsScores }: Pick<RouterInput, 'tokenIdsT' | 'wantsScores'>,
    gateTE: tf.Tensor2D,
    biasE: tf.Tensor1D | null = null,
  ): GateScores | undefined {
    if (!wantsScores) return undefined;
    return {
      gateTE: gateTE.dataSync<'float32'>().slice(),
      biasE: biasE?.dataSync<'float32'>().slice() ?? null,
      preferenceTE: this.of(tokenIdsT),
    };
  }

  /** Returns the preference of each token, row-major [T, E]; null without preferences. */
  of(tokenIdsT: Int32Array): Float32Array | null {
    const preferenceVE = this.state.get('preference');
    if (preferenceVE === undefined) return null;
    const E = this.#numExperts;
    const preferenceTE = new Float32Array(tokenIdsT.length * E);
    let to = 0;
    for (const id of tokenIdsT)
      for (let from = id * E; from < (id + 1) * E; from++) preferenceTE[to++] = preferenceVE[from]!;
    return preferenceTE;
  }
}

/** Returns the scores with the preference of the token's id, if there is one. */
export function withPreference(scores: Scores, { tokenPreference }: PreferringMoe): Scores {
  return tokenPreference === 0 ? scores : add(scores, ofId('preference'));
}

/** Returns the factor by which a preference increases the spread of the scores. */
export function spreadWithPreference({ tokenPreference }: PreferringMoe): number {
  return Math.hypot(1, tokenPreference);
}
