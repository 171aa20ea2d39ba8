import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { CORPUS_DIR } from 'locmoe/internal/data/corpora';
import type { Dataset } from 'locmoe/internal/data/dataset';
import { prepareDataset } from 'locmoe/internal/data/prepare';
import { EXIT, TrainerError } from 'locmoe/internal/errors';
import { formatCount, formatDuration } from 'locmoe/internal/format';
import { elementTypeOf } from 'locmoe/internal/ops/kernels/choose-kernels';
import { interruptible } from 'locmoe/internal/os/on-signals';
import { multipliesBfloat16 } from 'locmoe/internal/os/processor';
import { makeBenchFolders } from '../folders.js';
import { machine } from '../machine.js';
import { stepMsOf } from './figures.js';
import { writeInputs } from './inputs.js';
import { type Cell, cellId, configOf, numRanks, settingsOf } from './models.js';
import { runOwn } from './own-run.js';
import { PROGRAM_LABELS } from './program-labels.js';
import { writeReport } from './report.js';
import { Results, type TurnResult } from './results.js';
import { measureSgemm } from './sgemm.js';
import { isPeer, type Program, type StepRun } from './step-run.js';
import { canCompile, findTorch, runTorch, type TorchPeer } from './torch-peer.js';
import { planTurns, scopeOf, type Turn } from './turns.js';
import { assertSameLosses, NotTheSame, TOLERANCE } from './verify.js';

export interface BenchStepOptions {
  /** Recipe or config file of the small model. */
  readonly config: string;
  /** `--set` overrides of every run. */
  readonly set: readonly string[];
  /** Turns of the headline cells. */
  readonly turns: number;
  /** Steps of a timed turn; those of the model if undefined. */
  readonly steps?: number;
  readonly verifySteps: number;
  /** Models, layouts, sweeps and locmoe-plus; empty for all. */
  readonly only: readonly string[];
  readonly workDir: string;
  /** Output folder of the report. */
  readonly out: string;
  readonly dataDir: string;
  /** The command line, quoted in the report. */
  readonly command: string;
}

/**
 * `locmoe bench step --peer torch`: our trainer and the same training in PyTorch with Gloo, in alternating
 * turns, in float32 and in bfloat16. Every turn compares their losses; each model starts with a longer verification turn before anything
 * is timed.
 *
 * @returns the exit code of the command; that of a failed run if the losses differ
 * @throws TrainerError `NO_RESOURCE` without PyTorch, `BAD_CONFIG` or `BAD_INPUT` before anything runs,
 *   `INTERNAL` if a run failed, `INTERRUPTED`
 */
export async function benchStep(options: BenchStepOptions): Promise<number> {
  const peer = findTorch();
  try {
    return await interruptible('ended; there is no report', (signal) =>
      new StepBench(options, peer, signal).run(),
    );
  } catch (error) {
    if (!(error instanceof NotTheSame)) throw error;
    console.error(`locmoe: ${error.message}`);
    return EXIT.failedRun;
  }
}

class StepBench {
  readonly #inputs: string;

  constructor(
    readonly options: BenchStepOptions,
    readonly peer: TorchPeer,
    readonly signal: AbortSignal,
  ) {
    this.#inputs = path.resolve(options.workDir, `inputs-${process.pid}`);
  }

  async run(): Promise<number> {
    const { options, peer } = this;
    const scope = scopeOf(options.only);
    console.log(`PyTorch ${peer.version} of ${peer.python}`);
    const lengths = { ...options, steps: options.steps };
    const turns = planTurns(scope, lengths, {
      bfloat16: multipliesBfloat16(),
      ownBfloat16: elementTypeOf('auto') === 'bfloat16',
      peerCompiles: canCompile(peer),
    });
    for (const { cell, steps, programs } of turns)
      for (const program of programs) assertPeerCan(cell, this.#config(cell, program, steps));
    makeBenchFolders(options);
    mkdirSync(this.#inputs);
    try {
      const sgemmFlopsPerS = await measureSgemm(this.signal);
      console.log(`matrix products: ${(sgemmFlopsPerS / 1e9).toFixed(0)} GFLOP/s on all cores`);
      return await this.#report(new Results(await this.#runAll(turns)), sgemmFlopsPerS);
    } finally {
      rmSync(this.#inputs, { recursive: true, force: true });
    }
  }

  async #report(results: Results, sgemmFlopsPerS: number): Promise<number> {
    const { options, peer } = this;
    const headline = await writeReport({
      results,
      sgemmFlopsPerS,
      peer,
      machine: machine(),
      out: options.out,
      command: options.command,
      recipe: options.config,
      sets: options.set,
    });
    console.log(`\n${JSON.stringify(headline, null, 2)}\n\nreport: ${path.join(options.out, 'step.md')}`);
    return EXIT.done;
  }

  async #runAll(turns: readonly Turn[]): Promise<TurnResult[]> {
    const results: TurnResult[] = [];
    const started = performance.now();
    for (const [i, turn] of turns.entries()) {
      const result = await this.#runTurn(turn);
      results.push(result);
      const secondsEach = (performance.now() - started) / 1000 / (i + 1);
      console.log(
        `[${i + 1}/${turns.length}] ${describe(turn, result)}, left ${formatDuration(secondsEach * (turns.length - i - 1))}`,
      );
    }
    return results;
  }

  async #runTurn({ cell, steps, programs, isVerification }: Turn): Promise<TurnResult> {
    const runs: Partial<Record<Program, StepRun>> = {};
    for (const program of programs) {
      this.signal.throwIfAborted();
      runs[program] = await this.#runProgram(program, cell, steps);
    }
    const name = `${isVerification ? 'verification of ' : ''}${cellId(cell)}`;
    const differenceOf = (program: Program, precision: keyof typeof TOLERANCE) =>
      runs[program] === undefined
        ? 0
        : assertSameLosses(
            `${name} (${PROGRAM_LABELS[program]})`,
            runs[program].losses,
            runs.peer!.losses,
            TOLERANCE[precision],
          );
    return {
      cell,
      steps,
      runs,
      greatestDifference: Math.max(differenceOf('own', 'float32'), differenceOf('peer-compiled', 'float32')),
      greatestDifferenceBfloat16: Math.max(
        differenceOf('own-bfloat16', 'bfloat16'),
        differenceOf('peer-bfloat16', 'bfloat16'),
      ),
    };
  }

  async #runProgram(program: Program, cell: Cell, steps: number): Promise<StepRun> {
    const { config, set, workDir, dataDir } = this.options;
    const name = `${cellId(cell)}-${program}`;
    const folder = path.resolve(workDir, 'runs', name);
    if (!isPeer(program))
      return runOwn({
        config,
        folder,
        dataDir,
        sets: [...settingsOf(cell, routerOf(program), steps, config, set), ...precisionOf(program)],
      });
    const resolved = this.#config(cell, program, steps);
    const dataset = await this.#dataset(resolved);
    const inputs = writeInputs(this.#inputs, name, resolved, dataset);
    dataset.close();
    return runTorch({
      peer: this.peer,
      program,
      inputs,
      worldSize: numRanks(cell.layout),
      tokensPerStep: resolved.train.globalBatch * resolved.model.seqLen,
      folder,
      signal: this.signal,
    });
  }

  #config(cell: Cell, program: Program, steps: number): RunConfig {
    return configOf(cell, routerOf(program), steps, this.options.config, this.options.set);
  }

  #dataset({ data, model }: RunConfig): Promise<Dataset> {
    return prepareDataset({
      ...data,
      dataDir: path.resolve(this.options.dataDir),
      corpusDir: CORPUS_DIR,
      vocabSize: model.vocabSize,
      log: (line) => console.log(line),
    });
  }
}

function routerOf(program: Program): 'switch' | 'locmoe-plus' {
  return program === 'locmoe-plus' ? 'locmoe-plus' : 'switch';
}

function precisionOf(program: Program): string[] {
  return program === 'own-bfloat16' ? ['train.precision=bfloat16'] : [];
}

function assertPeerCan(cell: Cell, { moe }: RunConfig): void {
  const ranks = numRanks(cell.layout);
  if (moe.numExperts % ranks !== 0)
    throw new TrainerError(
      'BAD_CONFIG',
      `${cellId(cell)}: the peer cannot spread ${moe.numExperts} experts over ${ranks} ranks; moe.numExperts must be a multiple`,
    );
}

function describe({ cell, programs }: Turn, { runs, greatestDifference, steps }: TurnResult): string {
  const times = programs.map(
    (program) =>
      `${program} ${stepMsOf(runs[program]!).toFixed(0)} ms (${formatCount(runs[program]!.tokensPerS)} tokens/s)`,
  );
  const agreement = `losses of ${steps} steps agree within ${greatestDifference.toExponential(1)}`;
  return `${cellId(cell)}: ${[...times, agreement].join(', ')}`;
}
