export { endOf, endProgram, forkProgram, programBeside } from './fork-program.js';
export { freePort } from './free-port.js';
export { globalStep } from './global-step.js';
export type { FromRank, Layout, RankSpec } from './messages.js';
export { rankProgram } from './rank-program.js';
export { type Cluster, type Outcome, type SpawnOptions, spawnRanks } from './spawn-ranks.js';
