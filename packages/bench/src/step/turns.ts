import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { loadConfig } from 'locmoe/internal/config/resolve';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { CORPUS_DIR } from 'locmoe/internal/data/built-in/corpora';
import type { Dataset } from 'locmoe/internal/data/dataset';
import { prepareDataset } from 'locmoe/internal/data/prepare/prepare';
import { TrainerError } from 'locmoe/internal/errors';
import { formatCount, formatDuration } from 'locmoe/internal/format';
import { interruptible } from 'locmoe/internal/os/on-signals';
import { type BenchFolders, makeBenchFolders } from '../folders.js';
import { writeInputs } from './inputs.js';
import { runOwn } from './own-run.js';
import { isPeer, PROGRAM_LABELS, type Program, type StepRun, stepMsOf } from './step-run.js';
import { runTorch, type TorchPeer } from './torch-peer.js';
import { assertSameLosses, TOLERANCE } from './verify.js';

/** Programs that do the same training, run one after the other. */
export interface Turn {
  readonly name: string;
  readonly config: string;
  /** Overrides; if the turn includes a peer, `PEER_SETTINGS` are among them. */
  readonly sets: readonly string[];
  readonly steps: number;
  /** Programs in order of execution. */
  readonly programs: readonly Program[];
  /** Whether this turn only compares the losses, before anything is timed. */
  readonly isVerification: boolean;
}

export interface TurnResult extends Pick<Turn, 'name' | 'steps'> {
  readonly runs: Readonly<Partial<Record<Program, StepRun>>>;
  /** Maximum difference of programs in float32 from the peer, or without one from our trainer on the processor, in nats. */
  readonly greatestDifference: number;
  /** This is the same of programs in bfloat16; 0 if none ran. */
  readonly greatestDifferenceBfloat16: number;
}

export interface TurnsOptions extends BenchFolders {
  /** The peer; null if no turn includes it. */
  readonly peer: TorchPeer | null;
  readonly dataDir: string;
}

/**
 * Runs turn after turn.
 *
 * @throws NotTheSame if losses differ; TrainerError `BAD_CONFIG` before anything runs, `INTERNAL` if a run
 *   failed, `INTERRUPTED`
 */
export async function runTurns(turns: readonly Turn[], options: TurnsOptions): Promise<TurnResult[]> {
  for (const turn of turns) for (const program of turn.programs) configOf(turn, program);
  makeBenchFolders(options);
  const inputs = path.resolve(options.workDir, `inputs-${process.pid}`);
  mkdirSync(inputs);
  try {
    return await interruptible('ended; there is no report', async (signal) => {
      const results: TurnResult[] = [];
      const started = performance.now();
      for (const turn of turns) {
        console.log(`${turn.name}: ${turn.steps} steps`);
        const result = await runTurn(turn, { ...options, inputs, signal });
        results.push(result);
        const secondsEach = (performance.now() - started) / 1000 / results.length;
        const left = formatDuration(secondsEach * (turns.length - results.length));
        console.log(`[${results.length}/${turns.length}] ${describe(turn, result)}, left ${left}`);
      }
      return results;
    });
  } finally {
    rmSync(inputs, { recursive: true, force: true });
  }
}

interface Place extends TurnsOptions {
  /** Folder for the inputs of the peer. */
  readonly inputs: string;
  readonly signal: AbortSignal;
}

async function runTurn(turn: Turn, place: Place): Promise<TurnResult> {
  const { name, steps, programs, isVerification } = turn;
  const runs: Partial<Record<Program, StepRun>> = {};
  for (const program of programs) {
    place.signal.throwIfAborted();
    runs[program] = await runProgram(program, turn, place);
  }
  const reference = runs.peer === undefined ? 'own' : 'peer';
  const differenceOf = (precision: keyof typeof TOLERANCE, ...of: readonly Program[]) => {
    const differences = of.map((program) => {
      const run = runs[program];
      if (run === undefined || program === reference) return 0;
      const label = `${isVerification ? 'verification of ' : ''}${name}`;
      const names = [label, PROGRAM_LABELS[program], PROGRAM_LABELS[reference]] as const;
      return assertSameLosses(names, run.losses, runs[reference]!.losses, TOLERANCE[precision]);
    });
    return Math.max(...differences);
  };
  return {
    name,
    steps,
    runs,
    greatestDifference: differenceOf('float32', 'own', 'own-webgpu', 'peer-compiled'),
    greatestDifferenceBfloat16: differenceOf('bfloat16', 'own-bfloat16', 'peer-bfloat16'),
  };
}

async function runProgram(program: Program, turn: Turn, place: Place): Promise<StepRun> {
  const { workDir, dataDir, inputs, peer, signal } = place;
  const config = configOf(turn, program);
  const name = `${path.basename(turn.name)}-${program}`;
  const folder = path.resolve(workDir, 'runs', name);
  if (!isPeer(program))
    return runOwn({ config: turn.config, sets: settingsOf(turn, program), folder, dataDir });
  const { model, cluster, train } = config;
  const dataset = await datasetOf(config, dataDir);
  const written = writeInputs(inputs, name, config, dataset);
  dataset.close();
  return runTorch({
    peer: peer!,
    program,
    inputs: written,
    worldSize: cluster.nodes * cluster.workersPerNode,
    tokensPerStep: train.globalBatch * model.seqLen,
    folder,
    signal,
  });
}

/** Prepares the dataset of a configuration, or opens it if it exists. */
export function datasetOf({ data, model }: RunConfig, dataDir: string): Promise<Dataset> {
  return prepareDataset({
    ...data,
    dataDir: path.resolve(dataDir),
    corpusDir: CORPUS_DIR,
    vocabSize: model.vocabSize,
    log: (line) => console.log(line),
  });
}

function settingsOf({ sets }: Turn, program: Program): string[] {
  return [
    ...sets,
    ...(program === 'locmoe-plus' ? ['moe.router=locmoe-plus'] : []),
    ...(program === 'own-bfloat16' ? ['train.precision=bfloat16'] : []),
    ...(program === 'own-webgpu' ? ['train.device=webgpu'] : []),
  ];
}

/** @throws TrainerError `BAD_CONFIG` if the configuration is invalid, or the peer cannot train it */
function configOf(turn: Turn, program: Program): RunConfig {
  const config = loadConfig(turn.config, { sets: settingsOf(turn, program) });
  const { nodes, workersPerNode } = config.cluster;
  const ranks = nodes * workersPerNode;
  if (isPeer(program) && config.moe.numExperts % ranks !== 0)
    throw new TrainerError(
      'BAD_CONFIG',
      `${turn.name}: the peer cannot spread ${config.moe.numExperts} experts over ${ranks} ranks; moe.numExperts must be a multiple`,
    );
  return config;
}

function describe({ name, programs }: Turn, { runs, greatestDifference, steps }: TurnResult): string {
  const times = programs.map(
    (program) =>
      `${program} ${stepMsOf(runs[program]!).toFixed(0)} ms (${formatCount(runs[program]!.tokensPerS)} tokens/s)`,
  );
  const agreement =
    programs.length === 1
      ? []
      : [`losses of ${steps} steps agree within ${greatestDifference.toExponential(1)}`];
  return `${name}: ${[...times, ...agreement].join(', ')}`;
}
