import { pathToFileURL } from 'node:url';
import { type Layout, programBeside } from '@locmoe/test-kit';
import { WORKER_ENV } from 'locmoe/internal/agent/worker-env';
import { resolveConfig } from 'locmoe/internal/config/resolve';
import type { RunConfig } from 'locmoe/internal/config/schema';
import type { RouterName } from 'locmoe/internal/routing/index';
import { runRanks } from '../../run-ranks.js';

/**
 * Runs cases on bare agents and workers, and returns the measurements of rank 0.
 *
 * @throws TrainerError with the failure of a rank or agent
 */
export async function runProbe(layout: Layout, cases: readonly ProbeCase[]): Promise<ProbeOutcome> {
  const program = pathToFileURL(programBeside(import.meta.url, 'probe.program'));
  const [first] = await runRanks<ProbeOutcome>(layout, program, { args: cases, env: WORKER_ENV });
  return first;
}

/** A case that all ranks of a probe run together and rank 0 times. */
export type ProbeCase =
  /**
   * Repeats an interval of work followed by one collective step with this many bytes per pair of ranks; null
   * for work without an exchange.
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
      /** Time of optimizer and gradient norm. */
      readonly updateMs: number;
      /** Number of collective steps per training step. */
      readonly meetings: number;
    };

export type StepResult = Extract<ProbeResult, { kind: 'step' }>;

export interface ProbeOutcome {
  readonly results: readonly ProbeResult[];
  /** Resident memory of rank 0 after its first case, in bytes. */
  readonly residentBytes: number;
}

/**
 * Model sizes of single workers: [d, feed-forward, vocabulary, layers of each kind, experts, sequences of
 * 64].
 */
export const SIZES = [
  [64, 256, 1024, 2, 8, 8],
  [64, 256, 2048, 1, 4, 32],
  [128, 512, 1024, 2, 8, 4],
  [128, 512, 2048, 1, 2, 8],
  [128, 512, 2048, 2, 4, 16],
  [128, 256, 1024, 3, 8, 32],
  [256, 1024, 1024, 1, 4, 8],
  [256, 512, 2048, 2, 8, 16],
] as const;

/** Returns the configuration of a probe's worker. Nothing is dropped; with expert choice every token has an expert. */
export function configOf(size: (typeof SIZES)[number], router: RouterName): RunConfig {
  const [dModel, dFeedForward, vocabSize, layers, numExperts, globalBatch] = size;
  return resolveConfig(
    JSON.stringify({
      name: 'probe',
      model: {
        dModel,
        dFeedForward,
        vocabSize,
        numHeads: 4,
        seqLen: 64,
        numDenseLayers: layers,
        numSparseLayers: layers,
      },
      moe: { numExperts, router, capacityFactor: router === 'expert-choice' ? 1 : null },
      data: { domains: ['en', 'code'] },
      train: { steps: 1000, globalBatch, learningRate: 1e-4 },
    }),
    'probe',
  );
}
