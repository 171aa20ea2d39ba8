import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { EXIT } from 'locmoe/internal/errors';
import { formatTable } from 'locmoe/internal/format';
import { type BenchFolders, machine, makeBenchFolders, writeFigures } from '../folders.js';
import { CHECKED_LAYOUTS, checkLayouts, type LayoutCheck } from './check.js';
import { calibrate } from './measure/calibrate.js';
import { CALIBRATION_FILE, type MachineProfile, readProfile } from './profile.js';

export interface BenchPlanOptions extends BenchFolders {
  /** Recipe or config file of the check runs. */
  readonly config: string;
  readonly set: readonly string[];
  /** Only calibrates. */
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
export interface PlanFigures {
  readonly config: string;
  readonly steps: number;
  readonly rounds: number;
  readonly checks: readonly LayoutCheck[];
}

/**
 * `locmoe bench plan`: calibrates the cost model on this machine, compares its predictions with real runs, prints both
 * and writes `plan.json`.
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
 * @returns no figures where it only calibrates
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
    [
      ...['layout', 'predicted, ms', 'measured, ms', 'error, %'],
      ...['to other nodes, predicted, MB', 'measured, MB'],
    ],
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
