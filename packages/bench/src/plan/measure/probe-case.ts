import type { RunConfig } from 'locmoe/internal/config/schema';

/** A case that all ranks of a probe run together and rank 0 times. */
export type ProbeCase =
  /**
   * Repeated: an interval of work, then one collective step with this many bytes per pair of ranks. Null:
   * work alone, without an exchange.
   */
  | {
      readonly kind: 'exchange';
      readonly bytes: number | null;
      readonly aggregate: boolean;
      readonly repetitions: number;
    }
  /** The matrix product [rows, inner] x [inner, columns] and its two gradients. */
  | { readonly kind: 'product'; readonly rows: number; readonly inner: number; readonly columns: number }
  /** Training steps of a separate model per rank, in lockstep: ranks meet where a real run exchanges. */
  | { readonly kind: 'step'; readonly config: RunConfig; readonly steps: number };

/** Result of a case on rank 0; median times in ms. */
export type ProbeResult =
  | { readonly kind: 'exchange'; readonly ms: number }
  | { readonly kind: 'product'; readonly ms: number }
  | {
      readonly kind: 'step';
      readonly stepMs: number;
      /** Time without waiting for other ranks. */
      readonly forwardMs: number;
      readonly backwardMs: number;
      /** Optimizer and gradient norm. */
      readonly updateMs: number;
      /** Collective steps per training step. */
      readonly meetings: number;
    };

export type StepResult = Extract<ProbeResult, { kind: 'step' }>;

export interface ProbeOutcome {
  readonly results: readonly ProbeResult[];
  /** Resident memory of rank 0 after its first case, in bytes. */
  readonly residentBytes: number;
}
