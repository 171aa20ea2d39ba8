import { ringBytesFor } from '../collectives/shm-layout.js';
import type { ClusterConfig } from './schema.js';

// A node agent, which needs these, starts without the schema, and so without the routers.

/** Returns the size of a shared-memory ring buffer in bytes. */
export function ringBytesOf({
  nodes,
  workersPerNode,
  ringBytes,
}: Pick<ClusterConfig, 'nodes' | 'workersPerNode' | 'ringBytes'>): number {
  return ringBytes ?? ringBytesFor({ numNodes: nodes, workersPerNode });
}

/** Returns the number of idle worker processes that each node keeps where memory allows it. */
export function sparesOf({ spares, maxRestarts }: Pick<ClusterConfig, 'spares' | 'maxRestarts'>): number {
  return maxRestarts === 0 ? 0 : spares;
}
