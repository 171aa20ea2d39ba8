import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { WORKER_ENV, WORKER_NODE_OPTIONS } from '../../agent/worker-env.js';
import type { Checkpoint } from '../../checkpoint/checkpoint.js';
import { expertWidthOf, type RunConfig } from '../../config/schema.js';
import { thisMachine } from '../../coordinator/planning/limits.js';
import { loadTokenizer } from '../../data/tokenizer/tokenizer.js';
import { TrainerError } from '../../errors.js';
import type { Scorer } from '../../inference/log-likelihood.js';
import { type LogLikelihood, ROWS_AT_ONCE, type ScoredText } from '../../inference/log-likelihood.js';
import { ensureTensorFlow } from '../../local/set-up.js';
import { expertsInMemory, parameterCounts } from '../../model/parameter-counts.js';
import { usesOneDnn } from '../../ops/kernels/choose-kernels.js';
import type { ScoreReply, ScoreRequest } from './scorer-program.js';

const PROGRAM = fileURLToPath(new URL('./scorer-program.js', import.meta.url));
const FLOAT_BYTES = 4;
/** Memory of Node, TensorFlow and the program. */
const PROCESS_BYTES = 300e6;
/** Share of the memory to use; the rest is left for the page cache, and for errors of the estimate. */
const SHARE_OF_MEMORY = 0.8;

interface ScoringProcess {
  readonly child: ChildProcess;
  /** Rejects when the process has ended, or could not be started. */
  readonly ended: Promise<never>;
}

/**
 * Scores in one process per processor, as far as copies of the model fit into memory: two threads of one
 * process are no faster than one for a small model, and much slower beside other work.
 */
export class ScorerPool implements Scorer {
  readonly config: RunConfig;
  readonly tokenizer: Scorer['tokenizer'];
  readonly atOnce: number;
  readonly #threads: number;
  readonly #idle: ScoringProcess[] = [];
  readonly #all: ChildProcess[] = [];

  /** @param checkpoint must be verified */
  static async open(checkpoint: Checkpoint): Promise<ScorerPool> {
    await ensureTensorFlow();
    return new ScorerPool(checkpoint);
  }

  private constructor(readonly checkpoint: Checkpoint) {
    this.config = checkpoint.manifest.config;
    this.tokenizer = loadTokenizer(checkpoint.tokenizerFile, this.config.data.endOfText);
    const { cores, freeBytes } = thisMachine();
    const fitting = Math.floor((SHARE_OF_MEMORY * freeBytes) / processBytes(this.config));
    this.atOnce = Math.max(1, Math.min(cores, fitting));
    this.#threads = Math.floor(cores / this.atOnce);
  }

  /** @throws TrainerError as `openInference` and `logLikelihoods`, or `WORKER_DIED` */
  async score(texts: readonly ScoredText[]): Promise<LogLikelihood[]> {
    const scoring = this.#idle.pop() ?? this.#start();
    const reply = await replyOf(scoring, { folder: this.checkpoint.folder, texts });
    if ('failure' in reply) {
      const { code, message, context } = reply.failure;
      throw new TrainerError(code, message, context);
    }
    this.#idle.push(scoring);
    return [...reply.found];
  }

  close(): void {
    for (const child of this.#all) child.kill('SIGKILL');
  }

  #start(): ScoringProcess {
    const child = fork(PROGRAM, [], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      // The default serialization, JSON, has no -Infinity.
      serialization: 'advanced',
      // A separate process group makes Ctrl-C in a terminal reach this process alone.
      detached: true,
      env: { ...process.env, ...WORKER_ENV, OMP_NUM_THREADS: String(this.#threads) },
      execArgv: [...process.execArgv, ...WORKER_NODE_OPTIONS],
    });
    this.#all.push(child);
    return { child, ended: endOf(child) };
  }
}

/** Estimates the memory of a process; an evaluation needs no gradients and moments. */
function processBytes(config: RunConfig): number {
  const { dModel, dFeedForward, vocabSize } = config.model;
  const widest = Math.max(dFeedForward, expertWidthOf(config) * Math.max(1, config.moe.sharedExperts));
  const { shared, model } = parameterCounts(config);
  const values = shared + expertsInMemory(config, { expertsOfRank: model - shared });
  // The sum counts TensorFlow's copy, the transposed embedding, and a forward pass: inputs and outputs of attention and experts.
  const numbers =
    (usesOneDnn() ? 1 : 2) * values + vocabSize * dModel + ROWS_AT_ONCE * (8 * dModel + 2 * widest);
  return PROCESS_BYTES + FLOAT_BYTES * numbers;
}

function endOf(child: ChildProcess): Promise<never> {
  const ended = new Promise<never>((_, reject) => {
    const fail = (what: string) =>
      reject(new TrainerError('WORKER_DIED', `a process that scores texts ${what}`));
    // If the process cannot be started, the channel fails too; the first error has the reason.
    child.on('error', (error) => fail(`could not be started: ${error.message}`));
    child.once('exit', (code, signal) =>
      fail(
        `ended with ${signal ?? `exit code ${code}`}${signal === 'SIGKILL' ? ' (perhaps for lack of memory)' : ''}`,
      ),
    );
  });
  // The rejection is observed by the next request.
  ended.catch(() => undefined);
  return ended;
}

/** @throws TrainerError `WORKER_DIED` if the process ends first */
async function replyOf({ child, ended }: ScoringProcess, request: ScoreRequest): Promise<ScoreReply> {
  const answered = new AbortController();
  try {
    const reply = once(child, 'message', { signal: answered.signal });
    // A failed write shows as the end of the process.
    child.send(request, () => undefined);
    const [found] = await Promise.race([reply, ended]);
    return found as ScoreReply;
  } finally {
    answered.abort();
  }
}
