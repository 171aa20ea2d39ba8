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
  /** To be subtracted from its times. */
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
  /** Of a part `forward`, `experts`; of an operation its purpose. */
  readonly name: string;
  readonly layer: number | undefined;
  readonly step: number;
  readonly startMs: number;
  readonly endMs: number;
  /** It was still under way when the trace ended. */
  readonly isOpen: boolean;
  /** Of operations. */
  readonly operation: {
    /** The same call has the same number on every rank. */
    readonly sequence: number;
    readonly bytesOut: number;
    readonly bytesIn: number;
    readonly wait: TimelineWait | null;
  } | null;
}

/** What one rank did. */
export interface TimelineLane {
  readonly rank: number;
  readonly node: number;
  /** What its thread did, by start: spans nest, but do not overlap otherwise. Of an overlapped operation the wait. */
  readonly spans: readonly TimelineSpan[];
  /** Operations that travelled while the rank did other things, from their start to their end. */
  readonly inFlight: readonly TimelineSpan[];
}
