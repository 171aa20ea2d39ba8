import { FEED_FORWARD_MATRICES, mixtralFields } from '../config/model-schema.js';
import type { RunConfig } from '../config/schema.js';
import { rotaryFrequencies } from '../ops/rotary-frequencies.js';
import { layerNorms, type Norm, rmsNorms } from './norms.js';
import { fusedProjection, type Projection, rotaryProjections } from './projections.js';

/**
 * The parts in which families of models differ (docs/models.md). Parameters, their numbers, forward pass and
 * decoder are derived from it.
 */
export interface Family {
  readonly norm: Norm;
  /** Computes queries, keys and values of the normalised input. */
  readonly projection: Projection;
  /** Names of the matrices of a feed-forward network (dense, shared or of an expert), as in `FeedForwardWeights`. */
  readonly feedForward: readonly string[];
  /** Whether a learned embedding of each position is added to the token's embedding. */
  readonly hasPositions: boolean;
  /** Name of the matrix [V, d] with which logits are computed. */
  readonly head: string;
}

/** Name of the embedding of the tokens, which can be the head, too. */
export const EMBEDDING = 'embed.tokens';

const FAMILIES: Readonly<
  Record<RunConfig['model']['family'], (model: RunConfig['model']) => Omit<Family, 'feedForward'>>
> = {
  'pangu-sigma': () => ({
    norm: layerNorms,
    projection: fusedProjection,
    hasPositions: true,
    head: EMBEDDING,
  }),
  mixtral: (model) => {
    const { headDim, normEpsilon, ropeTheta, ropeScaling, attentionBias, qkNorm, tiedEmbedding } =
      mixtralFields(model);
    const norm = rmsNorms(normEpsilon);
    return {
      norm,
      projection: rotaryProjections({
        ...headsOf(model),
        frequencies: rotaryFrequencies(headDim, ropeTheta, ropeScaling),
        hasBias: attentionBias,
        headNorm: qkNorm ? norm : null,
      }),
      hasPositions: false,
      head: tiedEmbedding ? EMBEDDING : 'head',
    };
  },
};

export function familyOf({ model }: Pick<RunConfig, 'model'>): Family {
  return { ...FAMILIES[model.family](model), feedForward: FEED_FORWARD_MATRICES[model.family] };
}

/** Returns the numbers of query heads and of key-value heads, and the size of a head. */
export function headsOf(model: RunConfig['model']) {
  const { numKeyValueHeads, headDim } = mixtralFields(model);
  return { numHeads: model.numHeads, numKeyValueHeads, headDim };
}
