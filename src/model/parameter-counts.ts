import type { RunConfig } from '../config/schema.js';
import type { ParameterSpec } from '../parameters/parameters.js';
import { heldExperts } from '../routing/index.js';
import { isFrozenBy } from './frozen.js';
import { allSpecs } from './specs.js';

/** Numbers of parameters of the model and of its parts. */
export interface ParameterCounts {
  /** Parameters that every rank holds. */
  readonly shared: number;
  /** Parameters of the experts of this rank, in all sparse layers. */
  readonly expertsOfRank: number;
  /** Parameters of the whole model, each expert counted once. */
  readonly model: number;
  /** Parameters of `shared` and `expertsOfRank` that are not frozen; only these have gradients and moments. */
  readonly trained: { readonly shared: number; readonly expertsOfRank: number };
}

/** Returns the number of parameters of an expert, routed or shared; 0 without sparse layers. */
export function parametersOfExpert(config: RunConfig): number {
  const ofExperts = numParametersOf(allSpecs(config, 1).filter(isOfExpert));
  return ofExperts / Math.max(1, config.model.numSparseLayers);
}

/** Returns the number of expert parameters that a rank has in memory at a time. */
export function expertsInMemory(
  { moe }: RunConfig,
  { expertsOfRank }: Pick<ParameterCounts, 'expertsOfRank'>,
): number {
  const { kind, budgetMB } = moe.expertStorage;
  return kind === 'memory' ? expertsOfRank : Math.min(expertsOfRank, (1e6 * budgetMB) / BYTES_OF_PARAMETER);
}

/** Bytes of a value, a gradient and two moments. */
const BYTES_OF_PARAMETER = 16;

/** Returns the number of experts whose weights a rank holds. */
export function expertsPerRank({ moe, cluster }: RunConfig): number {
  return Math.max(1, heldExperts(moe).count / (cluster.nodes * cluster.workersPerNode));
}

export function parameterCounts(config: RunConfig): ParameterCounts {
  // The first expert of a layer stands for all its experts, as there may be millions.
  const specs = allSpecs(config, 1);
  const ofExperts = numParametersOf(specs.filter(isOfExpert));
  const shared = numParametersOf(specs) - ofExperts;
  const isFrozen = isFrozenBy(config.train);
  const trained = specs.filter((spec) => !isFrozen(spec));
  return {
    shared,
    expertsOfRank: expertsPerRank(config) * ofExperts,
    model: shared + heldExperts(config.moe).count * ofExperts,
    trained: {
      shared: numParametersOf(trained.filter((spec) => !isOfExpert(spec))),
      expertsOfRank: expertsPerRank(config) * numParametersOf(trained.filter(isOfExpert)),
    },
  };
}

function isOfExpert({ placement }: ParameterSpec): boolean {
  return placement === 'expert';
}

/** Returns the number of elements of all the parameters. */
export function numParametersOf(specs: readonly ParameterSpec[]): number {
  return specs.reduce((sum, { shape }) => sum + shape.reduce((product, length) => product * length, 1), 0);
}
