import type { WorkerProgress } from '../rpc/generated/messages.js';

/** A rank at its last heartbeat. */
export interface RankView extends WorkerProgress {
  readonly node: number;
  /** ms since the worker itself last gave a sign of life. */
  readonly lastHeardMs: number;
}
