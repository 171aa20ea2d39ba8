import type { RunConfig } from 'locmoe/internal/config/schema';

/** Validation losses by step, from the first validation. */
export type Curve = readonly { readonly step: number; readonly loss: number }[];

/** The three trainings of a seed. */
export interface SeedResult {
  readonly seed: number;
  /** Dense all the way; at `denseSteps` it is inherited from. */
  readonly dense: Curve;
  /** Steps count from the inheritance; the first point is step 0. */
  readonly inherited: Curve;
  readonly scratch: Curve;
}

/** The loss of the model that has inherited, before its first step. */
export interface StartResult {
  readonly router: string;
  readonly loss: number;
}

export interface InheritanceFigures {
  readonly config: RunConfig;
  readonly results: readonly SeedResult[];
  readonly starts: readonly StartResult[];
  readonly denseSteps: number;
  readonly steps: number;
  /** Steps between two points of a curve. */
  readonly every: number;
  readonly tokensPerStep: number;
  readonly machine: string;
  readonly command: string;
}

/** A run of each seed, at numbers of tokens. */
export type Line = (result: SeedResult) => Curve;
