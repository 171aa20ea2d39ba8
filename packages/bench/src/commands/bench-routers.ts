import type { Command } from 'commander';
import {
  collect,
  collectWords,
  numberFrom,
  typedCommand,
  wholeNumber,
} from 'locmoe/internal/cli/commands/options';
import { computeOnOneThread } from '../one-thread.js';
import type { BenchRoutersOptions } from '../routers/bench.js';
import { quickWords } from '../routers/jobs.js';
import type { VariantId } from '../routers/variants.js';

interface RoutersOptions {
  readonly config?: string;
  readonly set: readonly string[];
  readonly seeds?: number;
  readonly steps?: number;
  readonly timeSteps: number;
  readonly only: readonly string[];
  readonly inherit?: string;
  readonly link?: number;
  readonly quick: boolean;
  readonly cost: boolean;
  readonly workDir: string;
  readonly out?: string;
  readonly dataDir: string;
}

/** Defaults under `--quick`. */
const QUICK = {
  /** Its text is there without a download of its own. */
  config: 'routers',
  seeds: 1,
  steps: 30,
  /** Gb/s, close to what the search finds; the search takes longer than the quick runs themselves. */
  link: 0.2,
} as const;

export function addBenchRouters(bench: Command): void {
  bench
    .command('routers')
    .description(
      'compare the routers from the same starting weights on the same data: perplexity after long trainings, step time in short ones on an emulated cluster; a second call goes on where the first was stopped',
    )
    .option('--config <file|recipe>', 'what to train (routers-large)')
    .option('--set <key=value>', 'override a field in every run; repeat for several', collect, [])
    .option('--seeds <n>', 'runs of each router (3)', wholeNumber(1))
    .option('--steps <n>', 'training steps of a run for quality (those of the recipe)', wholeNumber(2))
    .option('--time-steps <n>', 'training steps of a run for time', wholeNumber(2), 60)
    .option(
      '--only <words>',
      'what to run, separated by commas: quality or time, routers, and for time layouts (2x1, 2x2, 4x1) and placements (domain, mixed)',
      collectWords,
      [],
    )
    .option(
      '--inherit <checkpoint>',
      'run or step folder: the dense model that the model of every run for quality grows from, as with locmoe train --inherit; give each its own --work-dir and --out',
    )
    .option(
      '--link <gbps>',
      "speed of the link between nodes; by default searched so that all-to-all takes the papers' share of a step",
      numberFrom(0.001),
    )
    .option(
      '--quick',
      `recipe ${QUICK.config}, one seed, ${QUICK.steps} steps for quality and time at once, a link of ${QUICK.link} Gb/s, 2x1 with placement domain, the routers without their variants; the report goes to <work-dir>/quick`,
      false,
    )
    .option('--cost', 'only measure the cost of the gates alone, anew', false)
    .option('--work-dir <dir>', 'keeps finished runs', 'runs/routers')
    .option('--out <dir>', 'folder for the report (docs/results)')
    .option('--data-dir <dir>', 'folder for prepared datasets', 'data')
    .action(async (options: RoutersOptions) => {
      computeOnOneThread();
      // Lazy: TensorFlow and the chart library take a second to load.
      const { benchRouters } = await import('../routers/bench.js');
      const { ROUTER_NAMES } = await import('locmoe/internal/routing/index');
      process.exitCode = await benchRouters({
        ...options,
        ...defaultsOf(options, ROUTER_NAMES),
        command: typedCommand(),
      });
    });
}

function defaultsOf(
  { quick, config, seeds, steps, only, link, out, workDir }: RoutersOptions,
  routers: readonly VariantId[],
): Pick<BenchRoutersOptions, 'config' | 'seeds' | 'steps' | 'only' | 'link' | 'out'> {
  const givenSteps = steps ?? (quick ? QUICK.steps : undefined);
  const givenLink = link ?? (quick ? QUICK.link : undefined);
  return {
    config: config ?? (quick ? QUICK.config : 'routers-large'),
    seeds: seeds ?? (quick ? QUICK.seeds : 3),
    ...(givenSteps !== undefined && { steps: givenSteps }),
    ...(givenLink !== undefined && { link: givenLink }),
    only: quick ? quickWords(only, routers) : only,
    out: out ?? (quick ? `${workDir}/quick` : 'docs/results'),
  };
}
