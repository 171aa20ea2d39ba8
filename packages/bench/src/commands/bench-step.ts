import { type Command, Option } from 'commander';
import { collect, collectWords, typedCommand, wholeNumber } from 'locmoe/internal/cli/commands/options';
import { TrainerError } from 'locmoe/internal/errors';
import { computeOnOneThread } from '../one-thread.js';

interface StepOptions {
  readonly peer?: 'torch';
  readonly config: readonly string[];
  readonly set: readonly string[];
  readonly turns?: number;
  readonly steps?: number;
  readonly verifySteps: number;
  readonly only: readonly string[];
  readonly quick: boolean;
  readonly workDir: string;
  readonly out?: string;
  readonly dataDir: string;
}

/** Fewer steps would leave none to time after warm-up. */
const LEAST_STEPS = 4;
const RECIPE_STEPS = 60;
const QUICK = { turns: 2, only: ['small', '2x2', 'locmoe-plus'] } as const;

/** `locmoe bench step`. */
export function addBenchStep(bench: Command): void {
  bench
    .command('step')
    .description(
      'where the time of a training step goes, by recipe; with --peer the same training in another program in turns with ours, verified to do the same, and a report',
    )
    .addOption(new Option('--peer <program>', 'what to hold our trainer against').choices(['torch']))
    .option(
      '--config <file|recipe>',
      'what to time; repeat for several (tiny, small); with --peer the small model (small)',
      collect,
      [],
    )
    .option('--set <key=value>', 'override a field in every run; repeat for several', collect, [])
    .option('--turns <n>', 'with --peer: turns of the cells of step.json (3)', wholeNumber(1))
    .option(
      '--steps <n>',
      `steps of a run (${RECIPE_STEPS}; with --peer 12 and 8 by model)`,
      wholeNumber(LEAST_STEPS),
    )
    .option(
      '--verify-steps <n>',
      'with --peer: steps whose losses must agree before anything else is timed',
      wholeNumber(LEAST_STEPS),
      20,
    )
    .option(
      '--only <words>',
      'with --peer: models (small, medium), layouts (1x1, 2x1, 2x2), locmoe-plus and sizes (width, experts, sequence, batch), separated by commas; the report goes to <work-dir>',
      collectWords,
      [],
    )
    .option(
      '--quick',
      'with --peer: two turns of the small model on 2x2; the report goes to <work-dir>',
      false,
    )
    .option('--work-dir <dir>', 'for runs and partial reports', 'runs/step')
    .option('--out <dir>', 'folder for the report (docs/results)')
    .option('--data-dir <dir>', 'folder for prepared datasets', 'data')
    .action(async (options: StepOptions) => {
      computeOnOneThread();
      process.exitCode = await (options.peer === undefined ? timeRecipes(options) : comparePeer(options));
    });
}

async function timeRecipes({ config, steps, ...options }: StepOptions): Promise<number> {
  // Lazy: TensorFlow and the chart library take a second to load.
  const bench = await import('../step/recipes.js');
  return bench.timeRecipes({
    ...options,
    configs: config.length > 0 ? config : ['tiny', 'small'],
    steps: steps ?? RECIPE_STEPS,
  });
}

async function comparePeer(options: StepOptions): Promise<number> {
  const { config, quick, workDir, turns, only } = options;
  if (config.length > 1)
    throw new TrainerError('BAD_INPUT', `--config ${config[1]}: with --peer there is one small model`);
  const isPart = quick || only.length > 0;
  const bench = await import('../step/bench.js');
  return bench.benchStep({
    ...options,
    config: config[0] ?? 'small',
    turns: turns ?? (quick ? QUICK.turns : 3),
    only: quick ? [...QUICK.only, ...only] : only,
    out: options.out ?? (isPart ? workDir : 'docs/results'),
    command: typedCommand(),
  });
}
