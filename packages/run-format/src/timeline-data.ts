import type { OperationKind } from './operations.js';

/** The steps of a generation that traces are kept of. */
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
  /** Offset to subtract from its times. */
  readonly offsetMs: number;
  /** How far the offset may be off; null if nothing says. */
  readonly uncertaintyMs: number | null;
}

/** Time in which nothing moved in an operation of a rank. */
export interface TimelineWait {
  readonly startMs: number;
  readonly endMs: number;
  /** The rank whose bytes came last; null if that is not known. */
  readonly rank: number | null;
  /** When that rank began the operation; null if that is not known. */
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
  /** It was still under way when the trace ended. */
  readonly isOpen: boolean;
  /** Details of an operation. */
  readonly operation: {
    /** The same call has the same number on every rank. */
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
  /** Spans of its thread in order of start; they nest, but do not overlap otherwise. An overlapped operation is shown by its wait. */
  readonly spans: readonly TimelineSpan[];
  /** Operations that travelled while the rank did other things, from their start to their end. */
  readonly inFlight: readonly TimelineSpan[];
}
