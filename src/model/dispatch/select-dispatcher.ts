import { deduplicated } from './deduplicated.js';
import type { DispatchContext, Dispatcher } from './dispatcher.js';
import { inTurn } from './in-turn.js';
import { overlapped } from './overlapped.js';

export interface DispatchOptions {
  /** True to send a token only once to each node that has experts of its choice; nothing is overlapped then. */
  readonly deduplicate: boolean;
  /** Chunks of other nodes' rows that are overlapped with the experts; 1 for no overlap. */
  readonly overlapDegree: number;
}

/** Selects a dispatcher; a single node has no communication to overlap or deduplicate. */
export function selectDispatcher(
  { deduplicate, overlapDegree }: DispatchOptions,
  context: DispatchContext,
): Dispatcher {
  if (context.communicator.topology.numNodes === 1) return inTurn(context);
  if (deduplicate) return deduplicated(context);
  return overlapDegree === 1 ? inTurn(context) : overlapped(context, overlapDegree);
}
