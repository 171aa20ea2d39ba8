import type { Command } from 'commander';
import { collect, collectWords, typedCommand, wholeNumber } from 'locmoe/internal/cli/commands/options';

interface FineTuningOptions {
  readonly config?: string;
  readonly set: readonly string[];
  readonly seeds?: number;
  readonly steps?: number;
  readonly tuneSteps?: number;
  readonly only: readonly string[];
  readonly quick: boolean;
  readonly workDir: string;
  readonly out?: string;
  readonly dataDir: string;
}

/** By default 20 million tokens of the large corpus, which does not repeat by then. */
const WHOLE = {
  config: 'routers-large',
  steps: 1220,
  seeds: 3,
  only: [],
  cloze: 256,
  // Three times through half of TeleQnA.
  tuneSteps: 100,
} as const;
const QUICK = {
  config: 'tiny',
  steps: 30,
  seeds: 1,
  only: ['switch', 'locmoe-plus'],
  cloze: 32,
  tuneSteps: 20,
  limit: 40,
} as const;

/** `locmoe bench fine-tuning`. */
export function addBenchFineTuning(bench: Command): void {
  bench
    .command('fine-tuning')
    .description(
      'train a model with each router, fine-tune it on telecom questions and answers, and ask before and after what was held out: TeleQnA, OpsEval, hamexam and fccexam where they are at hand, and a cloze; a second call goes on where the first was stopped',
    )
    .option('--config <file|recipe>', `the base models (${WHOLE.config}; with --quick ${QUICK.config})`)
    .option('--set <key=value>', 'override a field in every base model; repeat for several', collect, [])
    .option('--seeds <n>', `models of each router (${WHOLE.seeds})`, wholeNumber(1))
    .option(
      '--steps <n>',
      `steps of a base model (${WHOLE.steps}: 20 million tokens of ${WHOLE.config})`,
      wholeNumber(2),
    )
    .option('--tune-steps <n>', `steps of fine-tuning (${WHOLE.tuneSteps})`, wholeNumber(2))
    .option(
      '--only <routers>',
      'routers, separated by commas: switch, locmoe, locmoe-plus-tcr, locmoe-plus-ecr, locmoe-plus; the report goes to <work-dir>',
      collectWords,
      [],
    )
    .option(
      '--quick',
      `${QUICK.only.join(' and ')}, one seed, ${QUICK.steps} and ${QUICK.tuneSteps} steps, ${QUICK.limit} questions of each file; all goes to <work-dir>/quick`,
      false,
    )
    .option('--work-dir <dir>', 'keeps models and answers: 6 GB for all of them', 'runs/fine-tuning')
    .option('--out <dir>', 'folder for the report (docs/results)')
    .option('--data-dir <dir>', 'folder for prepared datasets', 'data')
    .action(async ({ quick, only, out, ...given }: FineTuningOptions) => {
      const defaults = quick ? QUICK : WHOLE;
      const workDir = quick ? `${given.workDir}/quick` : given.workDir;
      // Lazy: the chart library takes a second to load.
      const { benchFineTuning } = await import('../fine-tuning/bench.js');
      process.exitCode = await benchFineTuning({
        ...defaults,
        ...given,
        workDir,
        command: typedCommand(),
        only: only.length > 0 ? only : defaults.only,
        out: out ?? (quick || only.length > 0 ? workDir : 'docs/results'),
      });
    });
}
