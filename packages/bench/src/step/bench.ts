import { STEP_PARTS } from '@locmoe/run-format';
import { loadConfig } from 'locmoe/internal/config/resolve';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { EXIT } from 'locmoe/internal/errors';
import { formatCount, formatTable } from 'locmoe/internal/format';
import { modelWork, totalWork } from 'locmoe/internal/model/work';
import { elementTypeOf, webGpuPath } from 'locmoe/internal/ops/kernels/choose-kernels';
import { type DeviceProbe, probeDevice } from 'locmoe/internal/ops/kernels/webgpu/device-probe';
import { multipliesBfloat16 } from 'locmoe/internal/os/processor';
import { type BenchFolders, machine, writeFigures } from '../folders.js';
import { median, quantile } from '../statistics.js';
import { fastestPeer, isPeer, PROGRAM_LABELS, PROGRAMS, type Program, type StepRun } from './step-run.js';
import { canCompile, describePeer, findTorch, type TorchPeer } from './torch-peer.js';
import { runTurns, type Turn, type TurnResult } from './turns.js';
import { lengthSettings, NotTheSame, PEER_SETTINGS } from './verify.js';

export interface BenchStepOptions extends BenchFolders {
  readonly configs: readonly string[];
  readonly set: readonly string[];
  /** Steps of a timed run. */
  readonly steps: number;
  /** A peer that does the same training. */
  readonly peer?: 'torch';
  /** Trains on a graphics device too. */
  readonly device?: 'webgpu';
  /** With a peer or a device: how many times each program runs. */
  readonly turns: number;
  /** With a peer or a device: steps of the first turn, whose losses must agree before anything else is timed. */
  readonly verifySteps: number;
  readonly dataDir: string;
}

/**
 * `locmoe bench step`: trains each recipe, prints its step time by part and writes `step.json`. With a peer,
 * trains the same with PyTorch and Gloo, in alternating turns, in float32 and in bfloat16, with a device on that; every
 * turn compares the losses.
 *
 * @returns the exit code of the command; that of a failed run if the losses differ
 * @throws TrainerError as `runTurns`; `NO_RESOURCE` without PyTorch, or without a device
 */
export async function benchStep(options: BenchStepOptions): Promise<number> {
  const peer = options.peer === undefined ? null : findTorch();
  if (peer !== null) console.log(describePeer(peer));
  const device = options.device === undefined ? null : probeDevice(webGpuPath());
  try {
    const planned = planTurns(options, peer);
    const turns = await runTurns(planned, { ...options, peer });
    console.log(`\n${machine()}; medians of ${options.steps} steps, times in ms\n${tables(turns)}`);
    if (device !== null) console.log(`\n${sharesOf(planned, device, turns).join('\n')}`);
    writeFigures(options.out, 'step.json', { machine: machine(), peer, device, turns });
    return EXIT.done;
  } catch (error) {
    if (!(error instanceof NotTheSame)) throw error;
    console.error(`locmoe: ${error.message}`);
    return EXIT.failedRun;
  }
}

/** Returns the programs that this machine can run. */
export function programsHere(peer: TorchPeer): Program[] {
  return [
    'own',
    ...(elementTypeOf('auto') === 'bfloat16' ? (['own-bfloat16'] as const) : []),
    'peer',
    // bfloat16 is run only where the hardware supports it: elsewhere our trainer refuses it, and PyTorch is
    // twenty times slower than in float32.
    ...(multipliesBfloat16() ? (['peer-bfloat16'] as const) : []),
    ...(canCompile(peer) ? (['peer-compiled'] as const) : []),
  ];
}

function planTurns(
  { configs, set, steps, turns, verifySteps, device }: BenchStepOptions,
  peer: TorchPeer | null,
): Turn[] {
  if (peer === null && device === undefined)
    return configs.map((config) => ({
      name: config,
      config,
      sets: [...set, ...lengthSettings(steps)],
      steps,
      programs: ['own'],
      isVerification: false,
    }));
  const programs: readonly Program[] = [
    ...(peer === null ? (['own'] as const) : programsHere(peer)),
    ...(device === undefined ? [] : (['own-webgpu'] as const)),
  ];
  // One rank has the card for itself, and leaves its parameters there.
  const given = device === undefined ? set : ['cluster.nodes=1', 'cluster.workersPerNode=1', ...set];
  const same = [...(peer === null ? ['train.precision=float32'] : PEER_SETTINGS), 'train.device=cpu'];
  return Array.from({ length: turns }, (_, round) =>
    configs.map((config): Turn => {
      const length = round === 0 ? verifySteps : steps;
      return {
        name: config,
        config,
        sets: [...given, ...same, ...lengthSettings(length)],
        steps: length,
        // The order alternates because the machine heats up.
        programs: round % 2 === 0 ? programs : [...programs].reverse(),
        isVerification: round === 0,
      };
    }),
  ).flat();
}

/** Formats one table per recipe. */
function tables(turns: readonly TurnResult[]): string {
  return [...new Set(turns.map(({ name }) => name))]
    .map((name) =>
      recipeTable(
        name,
        turns.filter((turn) => turn.name === name),
      ),
    )
    .join('\n\n');
}

function recipeTable(name: string, turns: readonly TurnResult[]): string {
  const parts = [...STEP_PARTS, 'other'] as const;
  const runsOf = (program: Program) => turns.flatMap(({ runs }) => runs[program] ?? []);
  const peer = fastestPeer(turns);
  // Programs are compared with the fastest peer, or without one with our trainer on the processor.
  const base = peer ?? (runsOf('own-webgpu').length > 0 ? 'own' : null);
  const middle = (runs: readonly StepRun[], of: (run: StepRun) => number) => median(runs.map(of));
  const rows = PROGRAMS.filter((program) => runsOf(program).length > 0).map((program) => {
    const runs = runsOf(program);
    const speed = middle(runs, ({ tokensPerS }) => tokensPerS);
    const versus =
      isPeer(program) || base === null || program === base
        ? ''
        : `${(speed / middle(runsOf(base), ({ tokensPerS }) => tokensPerS)).toFixed(2)}x`;
    const all = runs.flatMap(({ stepMs }) => stepMs);
    return [
      PROGRAM_LABELS[program],
      formatCount(speed),
      ...(base === null ? [] : [versus]),
      ...[0.5, 0.1, 0.9].map((share) => quantile(all, share).toFixed(1)),
      ...parts.map((part) => middle(runs, ({ partsMs }) => partsMs[part]).toFixed(1)),
      isPeer(program) ? '' : middle(runs, ({ gcMs }) => gcMs ?? 0).toFixed(1),
      formatCount(middle(runs, ({ peakBytes }) => peakBytes / 1e6)),
    ];
  });
  const versus = base === null ? [] : [peer === null ? 'of the processor' : 'of PyTorch'];
  return formatTable([
    [name, 'tokens/s', ...versus, 'step', 'p10', 'p90', ...parts, 'gc', 'peak MB'],
    ...rows,
  ]);
}

/** Says for each recipe how much of a device's speed in large products its steps reach. */
function sharesOf(
  planned: readonly Turn[],
  { description, flopsPerS }: DeviceProbe,
  turns: readonly TurnResult[],
): string[] {
  const limit =
    flopsPerS === null
      ? 'it is no card, but computes on the processor'
      : `large products reach ${gigaflops(flopsPerS)}`;
  return [
    `${description}: ${limit}`,
    ...[...new Set(turns.map(({ name }) => name))].map((name) => {
      const runs = turns.flatMap((turn) => (turn.name === name ? (turn.runs['own-webgpu'] ?? []) : []));
      const config = loadConfig(name, { sets: planned.find((turn) => turn.name === name)!.sets });
      const speed = productsPerToken(config, runs) * median(runs.map(({ tokensPerS }) => tokensPerS));
      const share = flopsPerS === null ? '' : `, ${((100 * speed) / flopsPerS).toFixed(1)} % of that`;
      const { nodes, workersPerNode } = config.cluster;
      return `${name} on ${nodes}x${workersPerNode}: the products of a step reach ${gigaflops(speed)}${share}`;
    }),
  ];
}

/** Returns the multiplications and additions in products for a token, forward and backward. */
function productsPerToken(config: RunConfig, runs: readonly StepRun[]): number {
  const { model, moe, train } = config;
  const tokens = train.globalBatch * model.seqLen;
  const rows = tokens * median(runs.map(({ keptPerToken }) => keptPerToken ?? 1));
  const { forward, backward } = totalWork(
    modelWork(config, { sequences: train.globalBatch, rows, experts: moe.numExperts }),
  );
  return (forward.flops + backward.flops) / tokens;
}

function gigaflops(perS: number): string {
  return `${perS < 1e11 ? (perS / 1e9).toPrecision(3) : formatCount(perS / 1e9)} GFLOP/s`;
}
