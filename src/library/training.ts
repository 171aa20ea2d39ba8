import type { CheckpointReport, FailureReport, GlobalStep } from '@locmoe/run-format';
import type { DomainLoss } from '../rpc/generated/messages.js';
import type { GenerationView, RunSnapshot } from '../run/run-listener.js';

/** Options of a training run. One of `config`, `text`, `resume` and `init` says what is trained. */
export interface TrainOptions {
  /** Name of a recipe (`recipeNames`), or path of a configuration file in YAML or JSON. */
  readonly config?: string;
  /**
   * Files to train on, as paths and glob patterns, or as `NAME=PATTERN` with the name of their domain; a recipe of their
   * size replaces `config`.
   */
  readonly text?: readonly string[];
  /** Files of question-answer samples to fine-tune the checkpoint `init` on. */
  readonly instruct?: readonly string[];
  /** Fields of the configuration to change, by dotted name: `{ 'train.steps': 100 }`. */
  readonly set?: Readonly<Record<string, unknown>>;
  /** Number of node agents on this machine (`cluster.nodes`). */
  readonly nodes?: number;
  /** Worker processes of each node (`cluster.workersPerNode`). */
  readonly workersPerNode?: number;
  /** Run folder, step folder or run id to resume; its configuration applies unless `config` or `set` changes it. */
  readonly resume?: string;
  /** Starts a new run from the checkpoint of `resume`, and leaves the run of that checkpoint unchanged. */
  readonly fork?: boolean;
  /** Run folder, step folder or run id whose weights a new run begins with. */
  readonly init?: string;
  /** Folder that holds the runs; `runs` by default. */
  readonly runsDir?: string;
  /** Folder of prepared datasets; `data` by default. */
  readonly dataDir?: string;
  /** Stops the run after a final checkpoint; before the first step, ends it without one, and `result` rejects. */
  readonly signal?: AbortSignal;
}

/** Something that happened in a training run. Steps count from 1, losses are in nats per token. */
export type TrainingEvent =
  /** A line for people: the text that is being prepared, or a description of the recipe. */
  | { readonly type: 'message' | 'warning'; readonly text: string }
  /** The run has its folder, and its processes are starting. `steps` is the last step's number. */
  | { readonly type: 'started'; readonly runId: string; readonly directory: string; readonly steps: number }
  /** All ranks have done a step. Losses and norms are null if it was skipped, as something was not finite. */
  | ({ readonly type: 'step' } & GlobalStep & Pick<RunSnapshot, 'steps' | 'tokensPerS' | 'secondsLeft'>)
  /** Losses on the validation text, by domain. */
  | { readonly type: 'validation'; readonly step: number; readonly domains: readonly DomainLoss[] }
  /** A checkpoint is complete on disk. */
  | ({ readonly type: 'checkpoint' } & CheckpointReport)
  /** A generation failed, and the run restarts automatically. */
  | { readonly type: 'failure'; readonly failure: FailureReport; readonly restartsLeft: number }
  /** The run has started again. */
  | ({ readonly type: 'restart' } & GenerationView);

/** The end of a training run that did not fail. */
export interface TrainingResult {
  readonly runId: string;
  /** The run's folder, for `openRun`, `loadModel` and `resume`. */
  readonly directory: string;
  /** Last step that was done; 0 if there was none. */
  readonly step: number;
  /** Losses of the last validation, by domain; none if there was no validation. */
  readonly validation: readonly DomainLoss[];
  /** Folder of the last checkpoint; null if none was saved. */
  readonly checkpoint: string | null;
  /** Why the run stopped before its last step; null if it did not. */
  readonly stopped: string | null;
}

/** Writes fields as the command line would, whose values are YAML; JSON is a subset of that. */
export function assignments(set: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(set).map(([field, value]) => `${field}=${JSON.stringify(value)}`);
}
