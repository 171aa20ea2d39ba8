import type { RunFolder, RunRecord } from '@locmoe/run-format';
import type { Checkpoint } from '../../checkpoint/checkpoint.js';
import type { ConfigOverrides } from '../../config/document.js';
import type { RunConfig } from '../../config/schema.js';
import type { Dataset } from '../../data/dataset.js';
import type { PrepareProgress } from '../../data/prepare/progress-meter.js';
import { TrainerError } from '../../errors.js';
import type { Security } from '../../rpc/security.js';
import type { Adoption } from './adoption.js';

/** Options of `locmoe train` and `locmoe serve` about the run itself. */
export interface RunOptions {
  readonly config?: string;
  /** Files to train on, as names and glob patterns; a recipe of their size replaces `config`. */
  readonly text?: readonly string[];
  /** Files of question-answer samples to fine-tune `init` on; a recipe of their size replaces `config`. */
  readonly instruct?: readonly string[];
  readonly set: readonly string[];
  /** Id of a new run; by default made from the configuration's name and the time. */
  readonly name?: string;
  readonly nodes?: number;
  readonly workersPerNode?: number;
  /** Value of `train.routes`. */
  readonly routes?: string;
  /** Run folder, step folder or run id to resume; true for the newest run. */
  readonly resume?: string | true;
  /** Starts a new run from the checkpoint of `resume`. */
  readonly fork: boolean;
  /** Run folder, step folder or run id whose weights initialise a new run; excludes `resume`. */
  readonly init?: string;
  /** Run folder, step folder or run id of a dense model, from which the model of a new run grows. */
  readonly inherit?: string;
  /** Field `noise` of Inheritance; 0 by default. */
  readonly inheritNoise?: number;
  /** Field `seed` of Inheritance; the run's seed by default. */
  readonly inheritSeed?: number;
  readonly runsDir: string;
  readonly dataDir: string;
  readonly samples: boolean;
  /** Allows faults to be injected into the run's nodes (`locmoe chaos`). */
  readonly allowFaults: boolean;
  /** HOST:PORT at which the run is served over HTTP; false to serve it nowhere. */
  readonly http: string | false;
  /** Seconds for which HTTP is served after the run's end; true to serve it until a signal arrives. */
  readonly linger?: number | true;
  /** Folder for TensorBoard; the run's event files go to a subfolder named after it. */
  readonly tensorboard?: string;
}

export function overridesOf({ set, nodes, workersPerNode, routes }: RunOptions): ConfigOverrides {
  return { sets: set, nodes, workersPerNode, routes };
}

/** @throws TrainerError `BAD_INPUT` for `instruct` without a checkpoint to fine-tune */
export function assertHasWeights({ instruct, init }: Pick<RunOptions, 'instruct' | 'init'>): void {
  if (instruct !== undefined && init === undefined)
    throw new TrainerError(
      'BAD_INPUT',
      '--instruct fine-tunes a checkpoint: say which with --init, a step folder or a run',
    );
}

export interface PlanSettings {
  /** How many of the run's nodes will be on this machine and end with its coordinator. */
  readonly nodesHere: 'all' | 'one' | 'none';
  /** Credentials to ask the coordinator of a run on another machine whether it is alive. */
  readonly security: Security;
  /** Called before steps that take long. */
  readonly say: (line: string) => void;
  /** Called with the progress of preparing the user's text. */
  readonly progress: (progress: PrepareProgress) => void;
  readonly warn: (line: string) => void;
  /** Ends the preparation of the text in place of this process's signals. */
  readonly signal?: AbortSignal | undefined;
}

/** Everything a run starts from, fully checked. */
export interface RunPlan {
  readonly config: RunConfig;
  readonly dataset: Dataset;
  readonly checkpoint: Checkpoint | null;
  /** Checkpoint that initialises the weights of a new run, or from which its model grows (`initFrom`); null for none. */
  readonly init: Checkpoint | null;
  /** Run to resume, whose lock this process holds until `giveUp`; null for a new run. */
  readonly resumed: {
    readonly folder: RunFolder;
    readonly generation: number;
    readonly giveUp: () => void;
  } | null;
  /** Generation of the resumed run to adopt, as its nodes may still train; null if there is none. */
  readonly adopts: Adoption | null;
  /** Run and step of the checkpoint that the run was forked from; null if it was not forked. */
  readonly forkedFrom: RunRecord['forkedFrom'];
  /** Run and step of the checkpoint that initialised the run's weights; null if none did. */
  readonly initFrom: RunRecord['initFrom'];
}
