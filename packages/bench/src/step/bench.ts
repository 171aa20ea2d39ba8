import { STEP_PARTS } from '@locmoe/run-format';
import { EXIT } from 'locmoe/internal/errors';
import { formatCount, formatTable } from 'locmoe/internal/format';
import { elementTypeOf } from 'locmoe/internal/ops/kernels/choose-kernels';
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
  /** With a peer: how many times each program runs. */
  readonly turns: number;
  /** With a peer: steps of the first turn, whose losses must agree before anything else is timed. */
  readonly verifySteps: number;
  readonly dataDir: string;
}

/**
 * `locmoe bench step`: trains each recipe, prints its step time by part and writes `step.json`. With a peer,
 * trains the same with PyTorch and Gloo, in alternating turns, in float32 and in bfloat16; every turn
 * compares the losses.
 *
 * @returns the exit code of the command; that of a failed run if the losses differ
 * @throws TrainerError as `runTurns`; `NO_RESOURCE` without PyTorch
 */
export async function benchStep(options: BenchStepOptions): Promise<number> {
  const peer = options.peer === undefined ? null : findTorch();
  if (peer !== null) console.log(describePeer(peer));
  try {
    const turns = await runTurns(planTurns(options, peer), { ...options, peer });
    console.log(`\n${machine()}; medians of ${options.steps} steps, times in ms\n${tables(turns)}`);
    writeFigures(options.out, 'step.json', { machine: machine(), peer, turns });
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
  { configs, set, steps, turns, verifySteps }: BenchStepOptions,
  peer: TorchPeer | null,
): Turn[] {
  if (peer === null)
    return configs.map((config) => ({
      name: config,
      config,
      sets: [...set, ...lengthSettings(steps)],
      steps,
      programs: ['own'],
      isVerification: false,
    }));
  const programs = programsHere(peer);
  return Array.from({ length: turns }, (_, round) =>
    configs.map((config): Turn => {
      const length = round === 0 ? verifySteps : steps;
      return {
        name: config,
        config,
        sets: [...set, ...PEER_SETTINGS, ...lengthSettings(length)],
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
  const peerRuns = peer === null ? [] : runsOf(peer);
  const middle = (runs: readonly StepRun[], of: (run: StepRun) => number) => median(runs.map(of));
  const rows = PROGRAMS.filter((program) => runsOf(program).length > 0).map((program) => {
    const runs = runsOf(program);
    const speed = middle(runs, ({ tokensPerS }) => tokensPerS);
    const versus =
      isPeer(program) || peer === null
        ? ''
        : `${(speed / middle(peerRuns, ({ tokensPerS }) => tokensPerS)).toFixed(2)}x`;
    const all = runs.flatMap(({ stepMs }) => stepMs);
    return [
      PROGRAM_LABELS[program],
      formatCount(speed),
      ...(peer === null ? [] : [versus]),
      ...[0.5, 0.1, 0.9].map((share) => quantile(all, share).toFixed(1)),
      ...parts.map((part) => middle(runs, ({ partsMs }) => partsMs[part]).toFixed(1)),
      isPeer(program) ? '' : middle(runs, ({ gcMs }) => gcMs ?? 0).toFixed(1),
      formatCount(middle(runs, ({ peakBytes }) => peakBytes / 1e6)),
    ];
  });
  const versus = peer === null ? [] : ['of PyTorch'];
  return formatTable([
    [name, 'tokens/s', ...versus, 'step', 'p10', 'p90', ...parts, 'gc', 'peak MB'],
    ...rows,
  ]);
}
