import type { LayerContext } from './all-to-all-rows.js';
import { deduplicated } from './deduplicated.js';
import type { Dispatcher } from './dispatcher.js';
import { inTurn } from './in-turn.js';
import { overlapped } from './overlapped.js';

export interface DispatchOptions {
  /** A token crosses once to each node that has experts of its choice; then nothing is overlapped. */
  readonly deduplicate: boolean;
  /** Slices in which rows of other nodes travel while the experts work; 1 does one after the other. */
  readonly overlapDegree: number;
}

/** A single node has nothing to hide and nothing that crosses. */
export function selectDispatcher(
  { deduplicate, overlapDegree }: DispatchOptions,
  context: LayerContext,
): Dispatcher {
  if (context.communicator.topology.numNodes === 1) return inTurn(context);
  if (deduplicate) return deduplicated(context);
  return overlapDegree === 1 ? inTurn(context) : overlapped(context, overlapDegree);
}
