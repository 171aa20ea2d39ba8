import type { Checkpoint } from '../../checkpoint/checkpoint.js';
import type { ConfigOverrides } from '../../config/document.js';
import type { RunConfig } from '../../config/schema.js';
import type { Dataset } from '../../data/dataset.js';
import type { PrepareProgress } from '../../data/progress-meter.js';
import { TrainerError } from '../../errors.js';
import type { Security } from '../../rpc/security.js';
import type { RunFolder, RunRecord } from '../../run/run-folder.js';
import type { Adoption } from './adoption.js';

/** What `locmoe train` and `locmoe serve` are asked to train. */
export interface RunOptions {
  readonly config?: string;
  /** Files to train on with a recipe of their size, instead of `config`: names and glob patterns. */
  readonly text?: readonly string[];
  /** Files of questions and answers to fine-tune `init` on with a recipe of their size, instead of `config`. */
  readonly instruct?: readonly string[];
  readonly set: readonly string[];
  readonly nodes?: number;
  readonly workersPerNode?: number;
  /** A run or step folder, or a run id; true for the newest run. */
  readonly resume?: string | true;
  /** Start a new run from the checkpoint of `resume`. */
  readonly fork: boolean;
  /** A run or step folder, or a run id, whose weights a new run starts with; not together with `resume`. */
  readonly init?: string;
  /** The same of a dense model, from which the run's grows. */
  readonly inherit?: string;
  /** See Inheritance; 0 and the run's seed by default. */
  readonly inheritNoise?: number;
  readonly inheritSeed?: number;
  readonly runsDir: string;
  readonly dataDir: string;
  readonly samples: boolean;
  /** Its nodes inflict faults on themselves when they are told to (`locmoe chaos`). */
  readonly allowFaults: boolean;
  /** HOST:PORT where the run can be read over HTTP; false for nowhere. */
  readonly http: string | false;
  /** For how many seconds it still can be once it is over; true until a signal comes. */
  readonly linger?: number | true;
  /** Folder for TensorBoard; the run's event files go to a subfolder of its name. */
  readonly tensorboard?: string;
}

export function overridesOf({ set, nodes, workersPerNode }: RunOptions): ConfigOverrides {
  return { sets: set, nodes, workersPerNode };
}

/** @throws TrainerError `BAD_INPUT` for answers without a checkpoint that could learn them */
export function assertHasWeights({ instruct, init }: Pick<RunOptions, 'instruct' | 'init'>): void {
  if (instruct !== undefined && init === undefined)
    throw new TrainerError(
      'BAD_INPUT',
      '--instruct fine-tunes a checkpoint: say which with --init, a step folder or a run',
    );
}

export interface PlanSettings {
  /** All nodes will run on this machine. */
  readonly nodesAreHere: boolean;
  /** To ask the coordinator of a run on another machine whether it is alive. */
  readonly security: Security;
  /** Tells of steps that take long. */
  readonly say: (line: string) => void;
  /** Told how far the preparation of the user's text is. */
  readonly progress: (progress: PrepareProgress) => void;
  readonly warn: (line: string) => void;
}

/** What a run starts from; all that can be checked before it starts has been. */
export interface RunPlan {
  readonly config: RunConfig;
  readonly dataset: Dataset;
  readonly checkpoint: Checkpoint | null;
  /** The checkpoint that gives a new run its weights alone, or that it grows from (`initFrom`); null for none. */
  readonly init: Checkpoint | null;
  /** The run to resume, which this process holds until it gives it up; null for a new one. */
  readonly resumed: {
    readonly folder: RunFolder;
    readonly generation: number;
    readonly giveUp: () => void;
  } | null;
  /** The generation of the run to resume that may still train, to go on with; null if there is none. */
  readonly adopts: Adoption | null;
  /** Run and step of the checkpoint that the run began with; null if it began from nothing. */
  readonly forkedFrom: RunRecord['forkedFrom'];
  /** Run and step of the checkpoint whose weights the run began with; null without one. */
  readonly initFrom: RunRecord['initFrom'];
}
