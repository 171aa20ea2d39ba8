import type { Command } from 'commander';
import { loadConfig } from '../../config/resolve.js';
import { EXIT } from '../../errors.js';
import { formatCount, formatDuration } from '../../format.js';
import type { Finding } from '../doctor/checks.js';
import type { TrialReport } from '../doctor/trial.js';
import { collect, wholeNumber } from './options.js';

interface DoctorOptions {
  readonly config?: string;
  readonly set: readonly string[];
  readonly nodes?: number;
  readonly workersPerNode?: number;
  readonly dataDir: string;
  readonly json?: boolean;
}

const MARKS: Readonly<Record<Finding['state'], string>> = { ok: 'ok  ', note: 'note', bad: 'BAD ' };

/** `locmoe doctor`: checks whether this machine can train, and tries a configuration on it. */
export function doctorCommand(command: Command): void {
  command
    .option(
      '--config <file|recipe>',
      'train a few steps of it, in its layout and in one process, and compare',
    )
    .option('--set <key=value>', 'override a field of it; repeat for several', collect, [])
    .option('--nodes <n>', 'number of nodes (cluster.nodes)', wholeNumber(0))
    .option('--workers-per-node <n>', 'workers on each node (cluster.workersPerNode)', wholeNumber(0))
    .option('--data-dir <dir>', 'folder for prepared datasets', 'data')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExit codes: 0 all is well, 1 something has to be done first.')
    .action(examine);
}

async function examine({ config, json, dataDir, set, ...size }: DoctorOptions): Promise<void> {
  const wanted = config === undefined ? null : loadConfig(config, { sets: set, ...size });
  const print = (line: string) => {
    if (!json) console.log(line);
  };
  const { findings } = await import('../doctor/checks.js');
  const found: Finding[] = [];
  for await (const finding of findings()) {
    found.push(finding);
    print(lineOf(finding));
  }
  const canTrain = found.every(({ state }) => state !== 'bad');
  let report: TrialReport | null = null;
  if (wanted !== null && canTrain) {
    const { trial, TOLERANCE } = await import('../doctor/trial.js');
    report = await trial(wanted, dataDir, (line) => print(`\n${line}`));
    print(`\n${describeTrial(report, TOLERANCE).join('\n')}`);
  } else if (wanted !== null) print('\nnothing was trained: first see to what is marked BAD');
  if (json) console.log(JSON.stringify({ findings: found, trial: report }));
  const agrees = report?.difference?.isWithinTolerance ?? true;
  process.exitCode = canTrain && agrees ? EXIT.done : EXIT.unhealthy;
}

function lineOf({ name, state, found, advice }: Finding): string {
  return `${MARKS[state]}  ${name.padEnd(14)}  ${found}${advice === undefined ? '' : `\n${' '.repeat(22)}-> ${advice}`}`;
}

function describeTrial(report: TrialReport, tolerance: number): string[] {
  const { layout, difference, stepMs, tokensPerS, peakBytes, processes, numSteps, wholeRunS } = report;
  return [
    ...(difference === null ? [] : describeDifference(layout, difference, tolerance)),
    `step ${formatCount(stepMs)} ms, ${formatCount(tokensPerS)} tokens/s on ${layout}`,
    `memory at most ${(peakBytes / 1e9).toFixed(2)} GB, in ${processes} processes`,
    `all ${formatCount(numSteps)} steps take about ${formatDuration(wholeRunS)}, validations and checkpoints apart`,
  ];
}

function describeDifference(
  layout: string,
  { loss, gradientNorm, gradient, worst, isWithinTolerance }: NonNullable<TrialReport['difference']>,
  tolerance: number,
): string[] {
  const shown = (value: number) => value.toExponential(1);
  return [
    `${isWithinTolerance ? MARKS.ok : MARKS.bad}  step 1 in float32 on 1x1 and on ${layout}, relative differences (at most ${tolerance}):`,
    `      loss ${shown(loss)}, gradient norm ${shown(gradientNorm)}, gradients ${shown(gradient)}` +
      ` (the most: ${worst.parameter} ${shown(worst.gradient)})`,
    ...(isWithinTolerance
      ? []
      : [
          '      -> where tokens are dropped, one at a tie can go either way: with --set moe.capacityFactor=null it ' +
            'cannot, and a difference is an error of locmoe: please report it',
        ]),
  ];
}
