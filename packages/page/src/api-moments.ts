import type { ClockOffset, TimelineLane, TracedSteps } from '@locmoe/run-format/timeline-data';

/**
 * JSON of the routes about one moment of a run: a checkpoint, a failure, a step. Times are in ms since 1970.
 */

export interface CheckpointRow {
  readonly name: string;
  readonly directory: string;
  readonly step: number;
  /** When the checkpoint was committed; null if it has no manifest. */
  readonly time: number | null;
  readonly bytes: number | null;
  readonly generation: number | null;
  /** Why the checkpoint cannot be loaded, judging by its manifest and file sizes; null if it can. */
  readonly problem: string | null;
}

export interface CheckpointsReply {
  /** The checkpoints, newest first. */
  readonly checkpoints: readonly CheckpointRow[];
}

export interface CheckpointCheck {
  /** Why the checkpoint is damaged; null if all hashes match. */
  readonly problem: string | null;
}

/** The flight record: what each rank did when the run failed. */
export interface FlightReply {
  /** Why the files of the record cannot be read; null also if there are none. */
  readonly problem: string | null;
  /** Generation that failed; null if there are no files. */
  readonly generation: number | null;
  readonly reason: string | null;
  readonly summary: string | null;
  readonly missingNodes: readonly number[];
  /** Ranks that the others waited for. */
  readonly oddRanks: readonly number[];
  readonly ranks: readonly FlightRankRow[];
  /** The last collective operations, oldest first. */
  readonly operations: readonly FlightOperation[];
}

export interface FlightRankRow {
  readonly rank: number;
  readonly node: number;
  readonly pid: number;
  /** The kernel's letter for the state, such as `S` for sleeping. */
  readonly processState: string;
  readonly step: number;
  readonly phase: string;
  /** The rank's last operation; null before the first. */
  readonly operation: { readonly kind: string; readonly sequence: number; readonly purpose: string } | null;
  /** Whether the rank was still inside that operation. */
  readonly isInside: boolean;
  /** The rank that this one waits for, then the rank that it waits for in turn, and so on. */
  readonly waitChain: readonly number[];
  readonly timesLast: number;
  readonly medianLateMs: number;
  readonly stack: readonly string[];
}

export interface FlightOperation {
  readonly sequence: number;
  readonly kind: string;
  readonly purpose: string;
  readonly step: number;
  readonly layer: number | null;
  /** How many ranks entered and left the operation. */
  readonly entered: number;
  readonly left: number;
  readonly missing: readonly number[];
  readonly last: { readonly rank: number; readonly lateMs: number } | null;
  readonly tookMs: number | null;
}

export interface ValidationPoint {
  readonly step: number;
  /** Mean over the tokens of all domains; null if it is not finite, which JSON cannot express. */
  readonly loss: number | null;
  readonly domains: readonly { readonly domain: string; readonly loss: number; readonly tokens: number }[];
}

/** Everything that was recorded about a step, compared with the steps before it. */
export interface StepReply {
  readonly step: number;
  /** Generation of the step; null if the run did not record its generations. */
  readonly generation: number | null;
  readonly time: number;
  readonly tokens: number;
  readonly tokensSoFar: number;
  /** Number of targets that count in the loss if samples are packed; null otherwise. */
  readonly answerTokens: number | null;
  /** Whether the update was skipped because a value was not finite. */
  readonly isSkipped: boolean;
  /** Number of preceding steps that this step is compared with. */
  readonly numNeighbours: number;
  readonly numbers: readonly ComparedNumber[];
  readonly layers: readonly StepLayer[];
  /** The last validation before the step and the first one after it, where they exist. */
  readonly validations: readonly ValidationPoint[];
}

export interface ComparedNumber {
  /** Name of the number: `loss`, `gradientNorm`, `parts.waiting`, `dropped` and so on. */
  readonly name: string;
  /** Title of a measure of the sparse layers (layer-measures.ts), and whether it is a share. */
  readonly title?: string;
  readonly isShare?: boolean;
  /** Value in this step; null if it was not finite, or not recorded. */
  readonly value: number | null;
  /** Median over the preceding steps; null if none has a value. */
  readonly median: number | null;
  /** Whether the value is far outside the usual range of those steps. */
  readonly standsOut: boolean;
}

/** A sparse layer in a step; shares are fractions of the routed or of the kept choices. */
export interface StepLayer {
  readonly layer: number;
  readonly routed: number;
  readonly dropped: number | null;
  readonly otherNode: number | null;
  readonly mostWanted: { readonly expert: number; readonly ofFairShare: number } | null;
  readonly mostLoaded: { readonly expert: number; readonly ofFairShare: number } | null;
}

/** Activity of every rank in one step. */
export interface TimelineReply {
  readonly step: number;
  readonly generation: number;
  /** Steps that have a timeline, by generation. */
  readonly kept: readonly TracedSteps[];
  readonly clocks: readonly ClockOffset[];
  /** When the first rank began the step. */
  readonly startMs: number;
  /** When the last rank ended the step. This and all times of the lanes are in ms since `startMs`. */
  readonly endMs: number;
  readonly lanes: readonly TimelineLane[];
  /** The ranks that ended the generation in this step. */
  readonly fallen: readonly FallenRank[];
}

/** A rank that died, was stopped or hung in a step. */
export interface FallenRank {
  readonly rank: number;
  /** When the process died or, if it hangs, when it last recorded something. */
  readonly ms: number;
  readonly hasDied: boolean;
  /** Description such as "its process 12 has died". */
  readonly how: string;
}
