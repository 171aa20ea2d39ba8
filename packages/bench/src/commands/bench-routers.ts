import type { Command } from 'commander';
import { collect, collectWords, wholeNumber } from 'locmoe/internal/cli/commands/options';
import { computeOnOneThread } from '../one-thread.js';
import type { BenchRoutersOptions } from '../routers/bench.js';

type RoutersOptions = Omit<BenchRoutersOptions, 'out' | 'routers' | 'seeds'> & {
  readonly only: readonly string[];
  readonly seeds?: number;
  readonly quick: boolean;
  readonly out?: string;
};

const QUICK_STEPS = 30;

/** `locmoe bench routers`. */
export function addBenchRouters(bench: Command): void {
  bench
    .command('routers')
    .description(
      'train a configuration with each router, from the same weights on the same data: loss, time, traffic and balance side by side; a second call goes on where the first was stopped',
    )
    .option('--config <file|recipe>', 'what to train', 'routers')
    .option('--set <key=value>', 'override a field in every run; repeat for several', collect, [])
    .option('--seeds <n>', 'runs of each router (3)', wholeNumber(1))
    .option('--steps <n>', 'training steps of a run (those of the recipe)', wholeNumber(2))
    .option('--only <routers>', 'values of moe.router, separated by commas (all)', collectWords, [])
    .option('--quick', `one seed of ${QUICK_STEPS} steps`, false)
    .option('--work-dir <dir>', 'keeps finished runs', 'runs/routers')
    .option('--out <dir>', 'folder for the figures as JSON (<work-dir>)')
    .option('--data-dir <dir>', 'folder for prepared datasets', 'data')
    .action(async ({ only, seeds, quick, out, ...options }: RoutersOptions) => {
      computeOnOneThread();
      // Lazy: TensorFlow takes a second to load.
      const { benchRouters } = await import('../routers/bench.js');
      const { ROUTER_NAMES } = await import('locmoe/internal/routing/index');
      process.exitCode = await benchRouters({
        ...options,
        ...(quick && options.steps === undefined && { steps: QUICK_STEPS }),
        routers: only.length > 0 ? only : ROUTER_NAMES,
        seeds: seeds ?? (quick ? 1 : 3),
        out: out ?? options.workDir,
      });
    });
}
