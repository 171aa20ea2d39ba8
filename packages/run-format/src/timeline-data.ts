import type { OperationKind } from './operations.js';

/** The steps of a generation whose traces are kept. */
export interface TracedSteps {
  readonly generation: number;
  readonly first: number;
  readonly last: number;
  /** The newest step that every rank has recorded; ranks of a live run record at different moments. */
  readonly complete: number;
}

/** The clock of a node, compared with that of the first. */
export interface ClockOffset {
  readonly node: number;
  /** Offset to subtract from the node's times. */
  readonly offsetMs: number;
  /** Maximum error of the offset; null if it is unknown. */
  readonly uncertaintyMs: number | null;
}

/** Time in which no data moved in an operation of a rank. */
export interface TimelineWait {
  readonly startMs: number;
  readonly endMs: number;
  /** The rank whose bytes arrived last; null if unknown. */
  readonly rank: number | null;
  /** When that rank began the operation; null if unknown. */
  readonly rankStartMs: number | null;
}

/** Times in ms since 1970 by the clock of the first node. */
export interface TimelineSpan {
  /** `part` of a step, or a kind of operation. */
  readonly kind: 'part' | OperationKind;
  /** Name of a part, such as `forward` or `experts`, or purpose of an operation. */
  readonly name: string;
  readonly layer: number | undefined;
  readonly step: number;
  readonly startMs: number;
  readonly endMs: number;
  /** Whether the span was still in progress when the trace ended. */
  readonly isOpen: boolean;
  /** Details of an operation. */
  readonly operation: {
    /** Number of the operation; the same call has the same number on every rank. */
    readonly sequence: number;
    readonly bytesOut: number;
    readonly bytesIn: number;
    readonly wait: TimelineWait | null;
  } | null;
}

/** Activity of one rank. */
export interface TimelineLane {
  readonly rank: number;
  readonly node: number;
  /**
   * Spans of the rank's thread in order of start, which nest but do not overlap otherwise. For an overlapped
   * operation, only its wait is included.
   */
  readonly spans: readonly TimelineSpan[];
  /** Operations that were in flight while the rank did other things, from their start to their end. */
  readonly inFlight: readonly TimelineSpan[];
}
