// Original file: proto/coordinator.proto

import type { Long } from '@grpc/proto-loader';

export interface WorkerProgressInput {
  'rank'?: (number);
  'pid'?: (number);
  'step'?: (number);
  'phase'?: (string);
  'operation'?: (string);
  'processState'?: (string);
  'residentBytes'?: (number | string | Long);
  'idleMs'?: (number | string);
  'layer'?: (number);
  'sequence'?: (number);
  'waitingFor'?: (number);
  'stalledMs'?: (number | string);
  'stoppedMs'?: (number | string);
}

export interface WorkerProgress {
  'rank': (number);
  'pid': (number);
  'step': (number);
  'phase': (string);
  /**
   * The current collective, or the last one.
   */
  'operation': (string);
  /**
   * The state letter of the process (R running, S sleeping, T stopped, Z ended).
   */
  'processState': (string);
  'residentBytes': (number);
  /**
   * The age of the worker's last heartbeat in ms; a worker that waits for others still gives ten a second.
   */
  'idleMs': (number);
  /**
   * The layer of the operation, or -1 if it has none.
   */
  'layer': (number);
  /**
   * The number of the operation, the same on every rank; 0 before the first.
   */
  'sequence': (number);
  /**
   * The rank whose bytes it waits for, or -1 if it waits for none.
   */
  'waitingFor': (number);
  /**
   * The time in ms for which nothing has moved meanwhile.
   */
  'stalledMs': (number);
  /**
   * The time in ms for which a signal has stopped the process; 0 if it runs.
   */
  'stoppedMs': (number);
}
