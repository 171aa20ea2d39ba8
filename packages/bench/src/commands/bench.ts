import type { Command } from 'commander';
import { collect, collectWords, typedCommand, wholeNumber } from 'locmoe/internal/cli/commands/options';
import { BENCH_COMMANDS } from 'locmoe/internal/cli/packages';
import type { BenchCollectivesOptions } from '../collectives/bench.js';
import type { BenchKernelsOptions } from '../kernels/bench.js';
import { computeOnOneThread } from '../one-thread.js';
import type { BenchPlanOptions } from '../plan/bench.js';
import type { BenchRecoveryOptions } from '../recovery/bench.js';
import { addBenchRouters } from './bench-routers.js';
import { addBenchStep } from './bench-step.js';

type PlanOptions = Omit<BenchPlanOptions, 'out' | 'command'> & { readonly out?: string };

/** `locmoe bench`: long-running measurements. */
export function addBenchCommand(program: Command): void {
  const bench = program.command('bench').description(BENCH_COMMANDS.bench);
  addBenchRouters(bench);
  addBenchPlan(bench);
  addBenchStep(bench);
  addBenchKernels(bench);
  addBenchCollectives(bench);
  addBenchRecovery(bench);
}

function addBenchPlan(bench: Command): void {
  bench
    .command('plan')
    .description(
      'measure what this machine can do, and hold the predictions of `locmoe plan` against real trainings',
    )
    .option('--config <file|recipe>', 'what the trainings of the check train', 'tiny')
    .option('--set <key=value>', 'override a field in every training; repeat for several', collect, [])
    .option('--calibrate', 'only measure the machine', false)
    .option('--calibration <file>', 'check these costs instead of measuring the machine anew')
    .option('--quick', 'few repetitions and short trainings; all goes to <work-dir>/quick', false)
    .option('--work-dir <dir>', 'keeps the calibration and the runs', 'runs/plan')
    .option('--out <dir>', 'folder for the figures as JSON (<work-dir>)')
    .option('--data-dir <dir>', 'folder for prepared datasets', 'data')
    .action(async ({ out, ...options }: PlanOptions) => {
      computeOnOneThread();
      const workDir = options.quick ? `${options.workDir}/quick` : options.workDir;
      // Lazy: TensorFlow takes a second to load.
      const { benchPlan } = await import('../plan/bench.js');
      process.exitCode = await benchPlan({
        ...options,
        workDir,
        out: out ?? workDir,
        command: typedCommand(),
      });
    });
}

function addBenchKernels(bench: Command): void {
  bench
    .command('kernels')
    .description(
      'time the operations of a step one by one, with the kernels of TensorFlow and of oneDNN in float32 and bfloat16, on one thread',
    )
    .option('--width <d>', 'hidden size: a multiple of 8, the heads', wholeNumber(8), 256)
    .option('--rounds <n>', 'timed calls of each', wholeNumber(1), 15)
    .action(async (options: BenchKernelsOptions) => {
      const { WORKER_ENV } = await import('locmoe/internal/agent/worker-env');
      // The libraries read them when they load.
      Object.assign(process.env, WORKER_ENV);
      const { benchKernels } = await import('../kernels/bench.js');
      await benchKernels(options);
    });
}

type CollectivesOptions = Omit<BenchCollectivesOptions, 'out'> & { readonly out?: string };

function addBenchCollectives(bench: Command): void {
  bench
    .command('collectives')
    .description(
      'time all-to-all and all-reduce between real processes, in a node and between nodes, against OpenMPI and Gloo where they are installed, and against what a socket can do',
    )
    .option(
      '--only <words>',
      'parts (layouts, hierarchical, streams, overlap), layouts (2x2), collectives, sizes in bytes and peers (openmpi, gloo) to measure, separated by commas',
      collectWords,
      [],
    )
    .option('--quick', 'fewer layouts, sizes and repetitions', false)
    .option('--no-peers', 'measure no peer')
    .option('--work-dir <dir>', 'for the compiled peer', 'runs/collectives')
    .option('--out <dir>', 'folder for the figures as JSON (<work-dir>)')
    .action(async ({ out, ...options }: CollectivesOptions) => {
      computeOnOneThread();
      const { benchCollectives } = await import('../collectives/bench.js');
      process.exitCode = await benchCollectives({ ...options, out: out ?? options.workDir });
    });
}

type RecoveryOptions = Omit<BenchRecoveryOptions, 'out'> & { readonly out?: string };

function addBenchRecovery(bench: Command): void {
  bench
    .command('recovery')
    .description(
      'measure what faults cost a run: how soon each is known, the first new step after it, steps done again; a soak under random faults',
    )
    .option(
      '--only <words>',
      'faults and parts (soak, cost) to measure, separated by commas; the others keep their figures',
      collectWords,
      [],
    )
    .option('--runs <n>', 'how often each fault is injected (20; 100 for killed workers)', wholeNumber(1))
    .option('--quick', 'each fault twice, a soak of a minute', false)
    .option(
      '--seed <n>',
      'faults, victims and times follow from it',
      wholeNumber(0, Number.MAX_SAFE_INTEGER),
      1,
    )
    .option('--work-dir <dir>', 'for the runs', 'runs/recovery')
    .option('--out <dir>', 'folder for the figures as JSON (<work-dir>)')
    .option('--data-dir <dir>', 'folder for prepared datasets', 'data')
    .action(async ({ out, ...options }: RecoveryOptions) => {
      // Lazy: the trainer's modules take a while to load.
      const { benchRecovery } = await import('../recovery/bench.js');
      const { PARTS: parts } = await import('../recovery/parts.js');
      process.exitCode = await benchRecovery({ ...options, out: out ?? options.workDir }, parts);
    });
}
