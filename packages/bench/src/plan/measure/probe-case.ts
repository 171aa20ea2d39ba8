import type { RunConfig } from 'locmoe/config/schema';

/** Something that all ranks of a probe do together, and rank 0 times. */
export type ProbeCase =
  /**
   * A stretch of work, then one collective step of so many bytes for each pair of ranks; over and over. Without bytes
   * (null) the stretch alone, every rank for itself.
   */
  | {
      readonly kind: 'exchange';
      readonly bytes: number | null;
      readonly aggregate: boolean;
      readonly repetitions: number;
    }
  /** The matrix product [rows, inner] x [inner, columns], and its two gradients. */
  | { readonly kind: 'product'; readonly rows: number; readonly inner: number; readonly columns: number }
  /** Training steps of a model of its own on every rank, in lockstep: ranks meet where a real run exchanges. */
  | { readonly kind: 'step'; readonly config: RunConfig; readonly steps: number };

/** What rank 0 measured of a case. Times in ms, medians. */
export type ProbeResult =
  | { readonly kind: 'exchange'; readonly ms: number }
  | { readonly kind: 'product'; readonly ms: number }
  | {
      readonly kind: 'step';
      readonly stepMs: number;
      /** Without the time in which it waited for the others. */
      readonly forwardMs: number;
      readonly backwardMs: number;
      /** Optimizer and the gradients' norm. */
      readonly updateMs: number;
      /** Collective steps in a training step. */
      readonly meetings: number;
    };

export type StepResult = Extract<ProbeResult, { kind: 'step' }>;

export interface ProbeOutcome {
  readonly results: readonly ProbeResult[];
  /** Resident memory of rank 0 after its first case. */
  readonly residentBytes: number;
}
