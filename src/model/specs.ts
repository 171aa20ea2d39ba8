import { hasQueryLayer } from '../config/model-schema.js';
import { expertWidthOf, type RunConfig } from '../config/schema.js';
import { initStd, matrixSpec } from '../parameters/matrix.js';
import type { ParameterSpec } from '../parameters/parameters.js';
import { heldExperts, routerPolicy } from '../routing/index.js';
import type { SparseSize } from './experts.js';
import { EMBEDDING, familyOf } from './family.js';
import { withPairs } from './lora.js';
import { moeLayerSpecs } from './moe-layer.js';
import { queryLayerSpecs } from './query-layer.js';
import { attentionHalfSpecs, denseBlockSpecs, type FeedForwardSize } from './transformer-block.js';

export function sizeOf({ model }: RunConfig): FeedForwardSize {
  const numLayers = model.numDenseLayers + model.numSparseLayers + (hasQueryLayer(model) ? 1 : 0);
  const { dModel, dFeedForward } = model;
  return { dModel, dFeedForward, numLayers, family: familyOf({ model }) };
}

export function sparseSizeOf(config: RunConfig): SparseSize {
  const { sharedExperts, sharedExpertGate } = config.moe;
  return { ...sizeOf(config), dFeedForward: expertWidthOf(config), sharedExperts, sharedExpertGate };
}

/**
 * Returns the specs of a model, with low-rank pairs.
 *
 * @param sparse specs of each sparse layer but for its attention half, without pairs
 */
export function modelSpecs(
  config: RunConfig,
  sparse: readonly (readonly ParameterSpec[])[],
): ParameterSpec[] {
  const { model } = config;
  const size = sizeOf(config);
  const { norm, hasPositions, head } = size.family;
  const std = initStd(model.dModel);
  const specs = [
    matrixSpec(EMBEDDING, [model.vocabSize, model.dModel], std),
    ...(hasPositions
      ? [{ ...matrixSpec('embed.positions', [model.seqLen, model.dModel], std), decay: false }]
      : []),
    ...Array.from({ length: model.numDenseLayers }, (_, i) => denseBlockSpecs(`layers.${i}`, size)).flat(),
    ...sparse.flatMap((specs, i) => [
      ...attentionHalfSpecs(`layers.${model.numDenseLayers + i}`, size),
      ...specs,
    ]),
    ...(hasQueryLayer(model) ? queryLayerSpecs('query', size, model.seqLen) : []),
    ...norm.specs('ln_final', model.dModel),
    ...(head === EMBEDDING ? [] : [matrixSpec(head, [model.vocabSize, model.dModel], std)]),
  ];
  return withPairs(specs, config.train);
}

/**
 * Returns the specs of the whole model, whichever rank holds the parameters.
 *
 * @param count number of experts of a layer, all by default
 */
export function allSpecs(config: RunConfig, count = heldExperts(config.moe).count): ParameterSpec[] {
  const { model, moe } = config;
  const routerSpecs = routerPolicy(moe.router).parameters(moe, model.dModel);
  const { first } = heldExperts(moe);
  const experts = Array.from({ length: count }, (_, i) => first + i);
  const sparse = Array.from({ length: model.numSparseLayers }, (_, i) =>
    moeLayerSpecs(model.numDenseLayers + i, routerSpecs, experts, sparseSizeOf(config)),
  );
  return modelSpecs(config, sparse);
}
