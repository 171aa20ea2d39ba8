import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { WORKER_ENV, WORKER_NODE_OPTIONS } from '../../agent/worker-env.js';
import type { Checkpoint } from '../../checkpoint/checkpoint.js';
import type { RunConfig } from '../../config/schema.js';
import { loadTokenizer } from '../../data/tokenizer.js';
import { TrainerError } from '../../errors.js';
import type { LogLikelihood, ScoredText } from '../../inference/log-likelihood.js';
import type { Scorer } from '../../inference/scorer.js';
import { parameterCounts } from '../../model/parameter-counts.js';
import { ensureTensorFlow } from '../set-up.js';
import type { ScoreReply, ScoreRequest } from './scorer-program.js';

const PROGRAM = fileURLToPath(new URL('./scorer-program.js', import.meta.url));
const BYTES_OF_FLOAT32 = 4;
/** Of a process without a model, with what a batch needs. */
const PROCESS_BYTES = 400e6;

/**
 * Scores in a process for each processor, as far as the copies of the model fit into memory: texts of a few hundred rows gain
 * nothing from threads.
 */
export class ScorerPool implements Scorer {
  readonly config: RunConfig;
  readonly tokenizer: Scorer['tokenizer'];
  readonly atOnce: number;
  readonly #idle: ChildProcess[] = [];
  readonly #all: ChildProcess[] = [];

  /** @param checkpoint one that was verified */
  constructor(readonly checkpoint: Checkpoint) {
    this.config = checkpoint.manifest.config;
    this.tokenizer = loadTokenizer(checkpoint.tokenizerFile, this.config.data.endOfText);
    const fitting = Math.floor(process.availableMemory() / (PROCESS_BYTES + modelBytes(this.config)));
    this.atOnce = Math.max(1, Math.min(availableParallelism(), fitting));
  }

  /** @throws TrainerError as `openInference` and `logLikelihoods`, or `WORKER_DIED` */
  async score(texts: readonly ScoredText[]): Promise<LogLikelihood[]> {
    await ensureTensorFlow();
    const child = this.#idle.pop() ?? this.#start();
    const reply = await replyOf(child, { folder: this.checkpoint.folder, texts });
    if ('failure' in reply) throw new TrainerError(reply.failure.code, reply.failure.message);
    this.#idle.push(child);
    return [...reply.found];
  }

  /** Ends the processes. */
  close(): void {
    for (const child of this.#all) child.kill('SIGKILL');
  }

  #start(): ChildProcess {
    const child = fork(PROGRAM, [], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      // JSON has no -Infinity.
      serialization: 'advanced',
      // Its own process group, so that Ctrl-C in a terminal reaches this process alone.
      detached: true,
      env: { ...process.env, ...WORKER_ENV },
      execArgv: [...process.execArgv, ...WORKER_NODE_OPTIONS],
    });
    this.#all.push(child);
    return child;
  }
}

/** Of the values; an evaluation has no moments. */
function modelBytes(config: RunConfig): number {
  const { shared, model } = parameterCounts(config);
  const { kind, budgetMB } = config.moe.expertStorage;
  return kind === 'memory' ? BYTES_OF_FLOAT32 * model : BYTES_OF_FLOAT32 * shared + 1e6 * budgetMB;
}

/** @throws TrainerError `WORKER_DIED` if the process ends first */
async function replyOf(child: ChildProcess, request: ScoreRequest): Promise<ScoreReply> {
  const settled = new AbortController();
  const { signal } = settled;
  try {
    child.send(request);
    return await Promise.race([
      once(child, 'message', { signal }).then(([reply]) => reply as ScoreReply),
      once(child, 'exit', { signal }).then(([code, killedBy]) => {
        throw new TrainerError(
          'WORKER_DIED',
          `a process that scores texts ended with ${killedBy ?? `exit code ${code}`}`,
        );
      }),
    ]);
  } finally {
    settled.abort();
  }
}
