import { type Command, Option } from 'commander';
import { collect, wholeNumber } from 'locmoe/internal/cli/commands/options';
import { computeOnOneThread } from '../one-thread.js';

interface StepOptions {
  readonly peer?: 'torch';
  readonly config: readonly string[];
  readonly set: readonly string[];
  readonly turns?: number;
  readonly steps?: number;
  readonly verifySteps: number;
  readonly quick: boolean;
  readonly workDir: string;
  readonly out?: string;
  readonly dataDir: string;
}

/** Fewer steps would leave none to time after warm-up. */
const LEAST_STEPS = 4;
const ALONE = { configs: ['tiny', 'small'], steps: 60 } as const;
const WITH_PEER = { configs: ['small'], steps: 12 } as const;

/** `locmoe bench step`. */
export function addBenchStep(bench: Command): void {
  bench
    .command('step')
    .description(
      'where the time of a training step goes, by recipe; with --peer the same training in another program in turns with ours, verified to do the same',
    )
    .addOption(new Option('--peer <program>', 'what to hold our trainer against').choices(['torch']))
    .option(
      '--config <file|recipe>',
      `what to time; repeat for several (${ALONE.configs.join(', ')}; with --peer ${WITH_PEER.configs})`,
      collect,
      [],
    )
    .option('--set <key=value>', 'override a field in every run; repeat for several', collect, [])
    .option('--turns <n>', 'with --peer: how often each program runs (3)', wholeNumber(1))
    .option(
      '--steps <n>',
      `steps of a run (${ALONE.steps}; with --peer ${WITH_PEER.steps})`,
      wholeNumber(LEAST_STEPS),
    )
    .option(
      '--verify-steps <n>',
      'with --peer: steps whose losses must agree before anything else is timed',
      wholeNumber(LEAST_STEPS),
      20,
    )
    .option('--quick', 'with --peer: two turns', false)
    .option('--work-dir <dir>', 'for the runs', 'runs/step')
    .option('--out <dir>', 'folder for the figures as JSON (<work-dir>)')
    .option('--data-dir <dir>', 'folder for prepared datasets', 'data')
    .action(async ({ config, steps, turns, quick, out, ...options }: StepOptions) => {
      computeOnOneThread();
      const defaults = options.peer === undefined ? ALONE : WITH_PEER;
      // Lazy: TensorFlow takes a second to load.
      const { benchStep } = await import('../step/bench.js');
      process.exitCode = await benchStep({
        ...options,
        configs: config.length > 0 ? config : defaults.configs,
        steps: steps ?? defaults.steps,
        turns: turns ?? (quick ? 2 : 3),
        out: out ?? options.workDir,
      });
    });
}
