import type { RunConfig } from '../config/schema.js';
import { heldExperts, routerPolicy } from '../routing/index.js';

/** Numbers that a rank holds of the model. */
export interface ParameterCounts {
  /** The same on every rank. */
  readonly shared: number;
  /** Of the experts of this rank, in all sparse layers. */
  readonly expertsOfRank: number;
  /** Of the whole model, each expert once. */
  readonly model: number;
}

/** Experts whose weights a rank holds. */
export function expertsPerRank({ moe, cluster }: RunConfig): number {
  return Math.max(1, heldExperts(moe).count / (cluster.nodes * cluster.workersPerNode));
}

export function parameterCounts(config: RunConfig): ParameterCounts {
  const { model, moe } = config;
  const { dModel: d, numDenseLayers, numSparseLayers } = model;
  const norm = 2 * d;
  const feedForward = 2 * d * model.dFeedForward;
  const attentionHalf = 4 * d * d + 2 * norm;
  const query = model.queryLayer ? model.seqLen * d + attentionHalf + feedForward : 0;
  const shared =
    (model.vocabSize + model.seqLen) * d +
    numDenseLayers * (attentionHalf + feedForward) +
    numSparseLayers * (attentionHalf + gate(config)) +
    query +
    norm;
  return {
    shared,
    expertsOfRank: numSparseLayers * expertsPerRank(config) * feedForward,
    model: shared + numSparseLayers * heldExperts(moe).count * feedForward,
  };
}

/** Parameters of the router of one layer. */
function gate({ moe, model }: RunConfig): number {
  const specs = routerPolicy(moe.router).parameters(moe, model.dModel);
  return specs.reduce((sum, { shape }) => sum + shape.reduce((product, length) => product * length, 1), 0);
}
