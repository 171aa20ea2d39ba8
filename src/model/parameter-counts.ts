import { expertWidthOf, type RunConfig } from '../config/schema.js';
import { heldExperts, routerPolicy } from '../routing/index.js';

/** Numbers that a rank holds of the model. */
export interface ParameterCounts {
  /** The same on every rank. */
  readonly shared: number;
  /** Parameters of the experts of this rank, in all sparse layers. */
  readonly expertsOfRank: number;
  /** Parameters of the whole model, each expert counted once. */
  readonly model: number;
}

/** Returns the parameters of an expert, routed or shared: two matrices. */
export function parametersOfExpert(config: RunConfig): number {
  return 2 * config.model.dModel * expertWidthOf(config);
}

/** Parameters of experts that a rank has in memory at a time. */
export function expertsInMemory({ moe }: RunConfig, { expertsOfRank }: ParameterCounts): number {
  const { kind, budgetMB } = moe.expertStorage;
  return kind === 'memory' ? expertsOfRank : Math.min(expertsOfRank, (1e6 * budgetMB) / BYTES_OF_PARAMETER);
}

/** Value, gradient and two moments. */
const BYTES_OF_PARAMETER = 16;

/** Experts whose weights a rank holds. */
export function expertsPerRank({ moe, cluster }: RunConfig): number {
  return Math.max(1, heldExperts(moe).count / (cluster.nodes * cluster.workersPerNode));
}

export function parameterCounts(config: RunConfig): ParameterCounts {
  const { model, moe } = config;
  const { dModel: d, numDenseLayers, numSparseLayers } = model;
  const norm = 2 * d;
  const feedForward = 2 * d * model.dFeedForward;
  const expert = parametersOfExpert(config);
  const attentionHalf = 4 * d * d + 2 * norm;
  const query = model.queryLayer ? model.seqLen * d + attentionHalf + feedForward : 0;
  const shared =
    (model.vocabSize + model.seqLen) * d +
    numDenseLayers * (attentionHalf + feedForward) +
    numSparseLayers * (attentionHalf + gate(config) + moe.sharedExperts * expert) +
    query +
    norm;
  return {
    shared,
    expertsOfRank: numSparseLayers * expertsPerRank(config) * expert,
    model: shared + numSparseLayers * heldExperts(moe).count * expert,
  };
}

/** Parameters of the router of one layer. */
function gate({ moe, model }: RunConfig): number {
  const specs = routerPolicy(moe.router).parameters(moe, model.dModel);
  return specs.reduce((sum, { shape }) => sum + shape.reduce((product, length) => product * length, 1), 0);
}
