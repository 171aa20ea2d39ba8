import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { EXIT } from 'locmoe/internal/errors';
import { formatTable } from 'locmoe/internal/format';
import { type BenchFolders, machine, makeBenchFolders, writeFigures } from '../folders.js';
import { readRunFigures } from '../routers/run-figures.js';
import { median } from '../statistics.js';
import { runTraining } from '../training.js';
import { configuredLink } from './inputs.js';
import { calibrate } from './measure/calibrate.js';
import { predict } from './predict.js';
import { CALIBRATION_FILE, type MachineProfile, readProfile } from './profile.js';
import { UNIFORM } from './routing-model.js';

/** Layouts (nodes x workers per node) checked on this machine. */
const CHECKED_LAYOUTS = ['1x1', '1x2', '2x1', '2x2', '4x1'] as const;
type CheckedLayout = (typeof CHECKED_LAYOUTS)[number];

export interface LayoutCheck {
  readonly layout: CheckedLayout;
  /** Kept choices per token of a sparse layer in the 1x1 run. */
  readonly keptPerToken: number;
  readonly predictedMs: number;
  /** Median over runs of the median step, and its range over runs. */
  readonly measuredMs: number;
  readonly leastMs: number;
  readonly mostMs: number;
  /** Predicted over measured, minus one. */
  readonly error: number;
  readonly predictedBytesOtherNode: number;
  readonly measuredBytesOtherNode: number;
}

interface CheckOptions {
  readonly config: string;
  readonly set: readonly string[];
  readonly profile: MachineProfile;
  readonly steps: number;
  /** Runs per layout. Layouts alternate, so that a temporary slowdown does not hit only one. */
  readonly rounds: number;
  readonly workDir: string;
  readonly dataDir: string;
  readonly log: (line: string) => void;
}

interface Measured {
  readonly stepMs: number;
  readonly bytesOtherNode: number;
  readonly keptPerToken: number;
}

/**
 * Trains every layout and compares. All nodes are processes of this machine and share its cores. How many
 * choices a router keeps depends on text and weights, which a plan does not know, but is the same in every
 * layout, so it is taken from 1x1.
 *
 * @throws TrainerError `INTERNAL` if a run failed; `INTERRUPTED`
 */
async function checkLayouts(options: CheckOptions): Promise<LayoutCheck[]> {
  const measured = new Map<CheckedLayout, Measured[]>();
  for (let round = 1; round <= options.rounds; round++)
    for (const layout of CHECKED_LAYOUTS) {
      const result = await train(options, layout);
      measured.set(layout, [...(measured.get(layout) ?? []), result]);
      options.log(`round ${round} of ${options.rounds}, ${layout}: step ${result.stepMs.toFixed(1)} ms`);
    }
  const keptPerToken = median((measured.get('1x1') ?? []).map((run) => run.keptPerToken));
  return CHECKED_LAYOUTS.map((layout) => compare(options, layout, measured.get(layout) ?? [], keptPerToken));
}

function settingsOf({ set }: CheckOptions, layout: CheckedLayout): string[] {
  const [nodes, workersPerNode] = layout.split('x');
  return [...set, `cluster.nodes=${nodes}`, `cluster.workersPerNode=${workersPerNode}`];
}

async function train(options: CheckOptions, layout: CheckedLayout): Promise<Measured> {
  const { config, steps, workDir, dataDir } = options;
  const folder = await runTraining({
    config,
    sets: [
      ...settingsOf(options, layout),
      `train.steps=${steps}`,
      `train.validateEvery=${steps}`,
      `train.checkpointEvery=${steps}`,
      'train.warmupSteps=1',
      'train.validationSequences=1',
    ],
    folder: path.resolve(workDir, 'runs', layout),
    dataDir,
  });
  const { stepMs, bytesOtherNode, tokensPerExpert, tokensPerStep, loadByLayer } = readRunFigures(
    folder.metrics,
  );
  const numExperts = loadByLayer[0]!.length;
  return {
    stepMs: stepMs.median,
    bytesOtherNode,
    keptPerToken: (tokensPerExpert * numExperts) / tokensPerStep,
  };
}

function compare(
  options: CheckOptions,
  layout: CheckedLayout,
  runs: readonly Measured[],
  keptPerToken: number,
): LayoutCheck {
  const config = loadConfig(options.config, { sets: settingsOf(options, layout) });
  const { stepMs: predictedMs, traffic } = predict({
    config,
    profile: options.profile,
    coresPerNode: options.profile.cores / config.cluster.nodes,
    link: configuredLink(config),
    routing: { ...UNIFORM, keptPerToken },
  });
  const times = runs.map(({ stepMs }) => stepMs);
  const measuredMs = median(times);
  return {
    layout,
    keptPerToken,
    predictedMs,
    measuredMs,
    leastMs: Math.min(...times),
    mostMs: Math.max(...times),
    error: predictedMs / measuredMs - 1,
    predictedBytesOtherNode: traffic.otherNodeBytes,
    measuredBytesOtherNode: median(runs.map(({ bytesOtherNode }) => bytesOtherNode)),
  };
}

export interface BenchPlanOptions extends BenchFolders {
  /** Recipe or config file of the check runs. */
  readonly config: string;
  readonly set: readonly string[];
  /** Whether to calibrate only, without checks. */
  readonly calibrate: boolean;
  /** A calibration to check instead of a new one. */
  readonly calibration?: string;
  readonly quick: boolean;
  readonly dataDir: string;
  /** The command line, kept in the calibration. */
  readonly command: string;
}

const WHOLE = { steps: 100, rounds: 2 } as const;
const QUICK = { steps: 12, rounds: 1 } as const;

/** Results of real runs that check the cost model. */
interface PlanFigures {
  readonly config: string;
  readonly steps: number;
  readonly rounds: number;
  readonly checks: readonly LayoutCheck[];
}

/**
 * `locmoe bench plan`: calibrates the cost model on this machine, compares its predictions with real runs,
 * prints both and writes `plan.json`.
 *
 * @returns the exit code of the command
 * @throws TrainerError as `measurePlan`
 */
export async function benchPlan(options: BenchPlanOptions): Promise<number> {
  const { figures } = await measurePlan(options);
  if (figures === null) return EXIT.done;
  console.log(`\n${machine()}\n${checkTable(figures.checks)}`);
  writeFigures(options.out, 'plan.json', { machine: machine(), ...figures });
  return EXIT.done;
}

/**
 * @returns no figures if it only calibrates
 * @throws TrainerError `BAD_CONFIG` or `BAD_INPUT` before anything runs, `INTERNAL` if a run failed
 */
export async function measurePlan(
  options: BenchPlanOptions,
): Promise<{ readonly profile: MachineProfile; readonly figures: PlanFigures | null }> {
  const { config, set, quick, calibration } = options;
  for (const layout of CHECKED_LAYOUTS) {
    const [nodes, workersPerNode] = layout.split('x').map(Number);
    loadConfig(config, { sets: set, nodes, workersPerNode });
  }
  makeBenchFolders(options);
  const profile = calibration === undefined ? await measureMachine(options) : readProfile(calibration);
  if (options.calibrate) return { profile, figures: null };
  const length = quick ? QUICK : WHOLE;
  const log = (line: string) => console.log(line);
  const checks = await checkLayouts({ ...options, ...length, profile, log });
  return { profile, figures: { config, ...length, checks } };
}

async function measureMachine({ quick, workDir, command }: BenchPlanOptions): Promise<MachineProfile> {
  const profile = await calibrate({
    machine: machine(),
    date: new Date().toISOString().slice(0, 10),
    command,
    quick,
    log: (line) => console.log(line),
  });
  const file = path.join(workDir, CALIBRATION_FILE);
  writeFileSync(file, `${JSON.stringify(profile, null, 2)}\n`);
  console.log(`calibration: ${file}`);
  return profile;
}

function checkTable(checks: readonly LayoutCheck[]): string {
  return formatTable([
    ['layout', 'predicted, ms', 'measured, ms', 'error, %', 'to other nodes, predicted, MB', 'measured, MB'],
    ...checks.map((row) => [
      row.layout,
      row.predictedMs.toFixed(1),
      `${row.measuredMs.toFixed(1)} (${row.leastMs.toFixed(1)} to ${row.mostMs.toFixed(1)})`,
      (100 * row.error).toFixed(1),
      (row.predictedBytesOtherNode / 1e6).toFixed(2),
      (row.measuredBytesOtherNode / 1e6).toFixed(2),
    ]),
  ]);
}
