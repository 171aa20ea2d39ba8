export { type AllGatherOptions, allGather } from './all-gather.js';
export {
  type AllReduceOptions,
  allReduce,
  type GradualAllReduce,
  gradualAllReduce,
} from './all-reduce.js';
export { type AllToAllOptions, allToAll, type StartAllToAll, startAllToAll } from './all-to-all.js';
export { barrier } from './barrier.js';
export { type BroadcastOptions, broadcast } from './broadcast.js';
export { EXCHANGES, type ExchangeChoice, type ExchangeForm, pickExchange } from './exchange-forms.js';
export { hierarchicalAllToAll, startHierarchicalAllToAll } from './hierarchical-all-to-all.js';
export { ShmTransport, type ShmTransportOptions } from './shm-transport.js';
export { soloTransport } from './solo-transport.js';
export { nodeOf, type Topology, topologyOf } from './topology.js';
export type {
  ExchangeOptions,
  Operation,
  OperationKind,
  OperationStats,
  PendingExchange,
  Phase,
  Receive,
  Send,
  Transport,
  TransportStats,
} from './transport.js';
export { addStats } from './transport-stats.js';
