import { FEED_FORWARD_MATRICES, headsOf } from '../config/model-schema.js';
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

export function familyOf({ model }: Pick<RunConfig, 'model'>): Family {
  const feedForward = FEED_FORWARD_MATRICES[model.family];
  if (model.family === 'pangu-sigma')
    return {
      norm: layerNorms,
      projection: fusedProjection,
      feedForward,
      hasPositions: true,
      head: EMBEDDING,
    };
  const { headDim, ropeTheta, ropeScaling } = model;
  const norm = rmsNorms(model.normEpsilon);
  return {
    norm,
    projection: rotaryProjections({
      ...headsOf(model),
      frequencies: rotaryFrequencies(headDim, ropeTheta, ropeScaling),
      hasBias: model.attentionBias,
      headNorm: model.qkNorm ? norm : null,
    }),
    feedForward,
    hasPositions: false,
    head: model.tiedEmbedding ? EMBEDDING : 'head',
  };
}
