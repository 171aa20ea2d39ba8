export { CounterRandom } from './counter-random.js';
export { expertsOfRank, rankOfExpert, replicasOfRank } from './expert-placement.js';
export type { LayerStatistics } from './moe-layer.js';
export { type LossOutput, PanguSigma } from './pangu-sigma.js';
export {
  type ParameterGroup,
  type ParameterRange,
  type ParameterSpec,
  ParameterStore,
} from './parameters.js';
