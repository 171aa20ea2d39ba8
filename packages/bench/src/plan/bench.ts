import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { EXIT } from 'locmoe/internal/errors';
import { makeFolder } from 'locmoe/internal/os/make-folder';
import { makeBenchFolders } from '../folders.js';
import { machine } from '../machine.js';
import { CHECKED_LAYOUTS, checkLayouts } from './check.js';
import { parseLink } from './link.js';
import { calibrate } from './measure/calibrate.js';
import { CALIBRATION_FILE, type MachineProfile, readProfile } from './profile.js';
import { writePlanReport } from './report.js';

export interface BenchPlanOptions {
  /** Recipe or config file of the check runs. */
  readonly config: string;
  readonly set: readonly string[];
  /** Only calibrates. */
  readonly calibrate: boolean;
  /** A calibration to check instead of a new one. */
  readonly calibration?: string;
  readonly quick: boolean;
  readonly deviceFlops: number;
  readonly deviceLink: string;
  readonly workDir: string;
  readonly out: string;
  readonly dataDir: string;
  /** The command line, quoted in the report. */
  readonly command: string;
}

const STEPS = { whole: 100, quick: 12 } as const;
const ROUNDS = { whole: 2, quick: 1 } as const;

/**
 * `locmoe bench plan`: calibrates the cost model on this machine, compares predictions with real runs, and
 * extrapolates to the scale of the papers.
 *
 * @returns the exit code of the command
 * @throws TrainerError `BAD_CONFIG` or `BAD_INPUT` before anything runs, `INTERNAL` if a run failed
 */
export async function benchPlan(options: BenchPlanOptions): Promise<number> {
  const { config, set, quick, out, command } = options;
  const device = { flopsPerS: options.deviceFlops, link: parseLink(options.deviceLink, '--device-link') };
  for (const layout of CHECKED_LAYOUTS) {
    const [nodes, workersPerNode] = layout.split('x').map(Number);
    loadConfig(config, { sets: set, nodes, workersPerNode });
  }
  if (options.calibrate) makeFolder(options.workDir, '--work-dir');
  else makeBenchFolders(options);
  const profile =
    options.calibration === undefined ? await measure(options) : readProfile(options.calibration);
  if (options.calibrate) return EXIT.done;
  const [steps, rounds] = quick ? [STEPS.quick, ROUNDS.quick] : [STEPS.whole, ROUNDS.whole];
  const log = (line: string) => console.log(line);
  const checks = await checkLayouts({ ...options, profile, steps, rounds, log });
  const headline = await writePlanReport({
    checks,
    profile,
    device,
    config,
    steps,
    rounds,
    out,
    command,
    machine: machine(),
  });
  console.log(`\n${JSON.stringify(headline, null, 2)}\n\nreport: ${path.join(out, 'plan.md')}`);
  return EXIT.done;
}

async function measure({ quick, workDir, command }: BenchPlanOptions): Promise<MachineProfile> {
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
