import { type Command, Option } from 'commander';
import {
  collect,
  collectWords,
  numberFrom,
  typedCommand,
  wholeNumber,
} from 'locmoe/internal/cli/commands/options';
import { BENCH_COMMANDS } from 'locmoe/internal/cli/packages';
import type { BenchCollectivesOptions } from '../collectives/bench.js';
import type { BenchGateOptions } from '../gate/bench.js';
import type { BenchKernelsOptions } from '../kernels/bench.js';
import { computeOnOneThread } from '../one-thread.js';
import type { BenchPlaceOptions } from '../place/bench.js';
import type { BenchPlanOptions } from '../plan/bench.js';
import type { PlanOptions } from '../plan/inputs.js';
import type { BenchRecoveryOptions } from '../recovery/bench.js';
import type { BenchRoutersOptions } from '../routers/bench.js';
import type { BenchStepOptions } from '../step/bench.js';

/** Options as the command line has them: without `--out`, figures go to the work folder. */
type Given<Options> = Omit<Options, 'out'> & { readonly out?: string };

const SET = ['--set <key=value>', 'override a field in every run; repeat for several', collect, []] as const;
const QUICK_STEPS = 30;
/** Minimum number of steps; with fewer, none would be left to time after warm-up. */
const LEAST_STEPS = 4;
const ALONE = { configs: ['tiny', 'small'], steps: 60 } as const;
const WITH_PEER = { configs: ['small'], steps: 12 } as const;

/**
 * Adds `locmoe bench`, the long-running measurements. Modules are loaded when a bench runs, as TensorFlow
 * takes a second to load.
 */
export function addBenchCommand(program: Command): void {
  const bench = program.command('bench').description(BENCH_COMMANDS.bench);
  addRouters(bench);
  addGate(bench);
  addPlan(bench);
  addStep(bench);
  addKernels(bench);
  addCollectives(bench);
  addRecovery(bench);
  addPlace(bench);
}

/** Adds the options that every bench lists last. @param holds what the work folder is for */
function inFolders(command: Command, name: string, holds: string): Command {
  return command
    .option('--work-dir <dir>', holds, `runs/${name}`)
    .option('--out <dir>', 'folder for the figures as JSON (<work-dir>)');
}

function withData(command: Command): Command {
  return command.option('--data-dir <dir>', 'folder for prepared datasets', 'data');
}

function addRouters(bench: Command): void {
  const command = bench
    .command('routers')
    .description(
      'train a configuration with each router, from the same weights on the same data: loss, time, traffic and balance side by side; a second call goes on where the first was stopped',
    )
    .option('--config <file|recipe>', 'what to train', 'routers')
    .option(...SET)
    .option('--seeds <n>', 'runs of each router (3)', wholeNumber(1))
    .option('--steps <n>', 'training steps of a run (those of the recipe)', wholeNumber(2))
    .option('--only <routers>', 'values of moe.router, separated by commas (all)', collectWords, [])
    .option('--quick', `one seed of ${QUICK_STEPS} steps`, false);
  type Options = Given<Omit<BenchRoutersOptions, 'routers' | 'seeds'>> & {
    readonly only: readonly string[];
    readonly seeds?: number;
    readonly quick: boolean;
  };
  withData(inFolders(command, 'routers', 'keeps finished runs')).action(
    async ({ only, seeds, quick, out, ...options }: Options) => {
      computeOnOneThread();
      const { benchRouters } = await import('../routers/bench.js');
      const { ROUTER_NAMES } = await import('locmoe/internal/routing/index');
      process.exitCode = await benchRouters({
        ...options,
        ...(quick && options.steps === undefined && { steps: QUICK_STEPS }),
        routers: only.length > 0 ? only : ROUTER_NAMES,
        seeds: seeds ?? (quick ? 1 : 3),
        out: out ?? options.workDir,
      });
    },
  );
}

function addGate(bench: Command): void {
  const command = bench
    .command('gate')
    .description(
      'hold a router of your own against a table of token ids with as many experts a token, by a fixed recipe and fixed seeds, in one line; a second call goes on where the first was stopped',
    )
    .argument('<router>', 'value of moe.router, as ./my-router.mjs')
    .option(
      SET[0],
      'set a field of the router, as moe.routerOptions.NAME=VALUE; repeat for several',
      collect,
      [],
    )
    .option(
      '--choices <n>',
      'experts that a token takes, if the router has no rule that says it',
      wholeNumber(1, 2),
    )
    .option('--quick', 'a first look: a few steps of one seed', false);
  type Options = Given<Omit<BenchGateOptions, 'router' | 'command'>>;
  withData(inFolders(command, 'gate', 'keeps finished runs')).action(
    async (router: string, { out, ...options }: Options) => {
      computeOnOneThread();
      const { benchGate } = await import('../gate/bench.js');
      const given = { ...options, router, out: out ?? options.workDir, command: typedCommand() };
      process.exitCode = await benchGate(given);
    },
  );
}

function addPlan(bench: Command): void {
  const command = bench
    .command('plan')
    .description(
      'measure what this machine can do, and compare the predictions of `locmoe plan` with real trainings',
    )
    .option('--config <file|recipe>', 'what the trainings of the check train', 'tiny')
    .option(SET[0], 'override a field in every training; repeat for several', collect, [])
    .option('--calibrate', 'only measure the machine', false)
    .option('--calibration <file>', 'check these costs instead of measuring the machine anew')
    .option('--quick', 'few repetitions and short trainings; all goes to <work-dir>/quick', false);
  withData(inFolders(command, 'plan', 'keeps the calibration and the runs')).action(
    async ({ out, ...options }: Given<Omit<BenchPlanOptions, 'command'>>) => {
      computeOnOneThread();
      const workDir = options.quick ? `${options.workDir}/quick` : options.workDir;
      const { benchPlan } = await import('../plan/bench.js');
      const given = { ...options, workDir, out: out ?? workDir, command: typedCommand() };
      process.exitCode = await benchPlan(given);
    },
  );
}

function addStep(bench: Command): void {
  const command = bench
    .command('step')
    .description(
      'where the time of a training step goes, by recipe; with --peer the same training in another program, with --device on a graphics card, in turns with ours, verified to do the same',
    )
    .addOption(
      new Option('--peer <program>', 'the program that our trainer is compared with').choices(['torch']),
    )
    .addOption(
      new Option('--device <device>', 'trains there too (locmoe setup --webgpu)').choices(['webgpu']),
    )
    .option(
      '--config <file|recipe>',
      `what to time; repeat for several (${ALONE.configs.join(', ')}; with --peer or --device ${WITH_PEER.configs})`,
      collect,
      [],
    )
    .option(...SET)
    .option('--turns <n>', 'with --peer or --device: how often each program runs (3)', wholeNumber(1))
    .option(
      '--steps <n>',
      `steps of a run (${ALONE.steps}; with --peer or --device ${WITH_PEER.steps})`,
      wholeNumber(LEAST_STEPS),
    )
    .option(
      '--verify-steps <n>',
      'with --peer or --device: steps whose losses must agree before anything else is timed',
      wholeNumber(LEAST_STEPS),
      20,
    )
    .option('--quick', 'with --peer or --device: two turns', false)
    .addOption(
      new Option(
        '--bill',
        'time every operation of a step in its place, and what it needs at least',
      ).conflicts(['peer', 'device', 'turns', 'verifySteps', 'quick']),
    );
  type Options = Given<Omit<BenchStepOptions, 'configs' | 'steps' | 'turns'>> &
    Partial<Pick<BenchStepOptions, 'steps' | 'turns'>> & {
      readonly config: readonly string[];
      readonly quick: boolean;
      readonly bill?: boolean;
    };
  withData(inFolders(command, 'step', 'for the runs')).action(
    async ({ config, steps, turns, quick, bill, out, ...options }: Options) => {
      computeOnOneThread();
      const defaults = (options.peer ?? options.device) === undefined ? ALONE : WITH_PEER;
      const given = {
        ...options,
        configs: config.length > 0 ? config : defaults.configs,
        steps: steps ?? defaults.steps,
        out: out ?? options.workDir,
      };
      if (bill === true) {
        const { billStep } = await import('../step/bill/bill.js');
        process.exitCode = await billStep(given);
        return;
      }
      const { benchStep } = await import('../step/bench.js');
      process.exitCode = await benchStep({
        ...given,
        turns: turns ?? (quick ? 2 : 3),
      });
    },
  );
}

function addKernels(bench: Command): void {
  bench
    .command('kernels')
    .description(
      'time the operations of a step one by one, with the kernels of TensorFlow and of oneDNN in float32 and bfloat16, on one thread',
    )
    .option('--width <d>', 'hidden size: a multiple of 8, the heads', wholeNumber(8), 256)
    .option('--rounds <n>', 'timed calls of each', wholeNumber(1), 15)
    .option('--webgpu', 'and with those of WebGPU, on a graphics card')
    .action(async (options: BenchKernelsOptions) => {
      const { WORKER_ENV } = await import('locmoe/internal/agent/worker-env');
      // The libraries read these variables when they are loaded.
      Object.assign(process.env, WORKER_ENV);
      const { benchKernels } = await import('../kernels/bench.js');
      await benchKernels(options);
    });
}

function addCollectives(bench: Command): void {
  const command = bench
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
    .option('--no-peers', 'measure no peer');
  inFolders(command, 'collectives', 'for the compiled peer').action(
    async ({ out, ...options }: Given<BenchCollectivesOptions>) => {
      computeOnOneThread();
      const { benchCollectives } = await import('../collectives/bench.js');
      process.exitCode = await benchCollectives({ ...options, out: out ?? options.workDir });
    },
  );
}

function addRecovery(bench: Command): void {
  const command = bench
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
      'decides the faults, their targets and their times',
      wholeNumber(0, Number.MAX_SAFE_INTEGER),
      1,
    );
  withData(inFolders(command, 'recovery', 'for the runs')).action(
    async ({ out, ...options }: Given<BenchRecoveryOptions>) => {
      const { benchRecovery } = await import('../recovery/bench.js');
      const { PARTS } = await import('../recovery/measure-row.js');
      process.exitCode = await benchRecovery({ ...options, out: out ?? options.workDir }, PARTS);
    },
  );
}

function addPlace(bench: Command): void {
  const command = bench
    .command('place')
    .description(
      'hold what `locmoe routes place` predicts against training: record, place the experts, go on with consecutive and with placed ones',
    )
    .option('--config <file|recipe>', 'what to train', 'tiny')
    .option(...SET)
    .option('--layouts <layouts>', 'nodes x workers of each, separated by commas (2x2,4x2)', collectWords, [])
    .option(
      '--only <routers>',
      'values of moe.router, separated by commas (locmoe,switch,moge)',
      collectWords,
      [],
    )
    .option('--steps <n>', 'training steps before placing, and after it', wholeNumber(12), 40)
    .option('--calibration <file>', 'costs of the machine (those of the last locmoe bench plan)')
    .option('--json', 'print the figures as JSON, and nothing else');
  type Options = Given<Omit<BenchPlaceOptions, 'routers'>> & { readonly only: readonly string[] };
  withData(inFolders(command, 'place', 'for the runs')).action(
    async ({ only, layouts, out, ...options }: Options) => {
      computeOnOneThread();
      const { benchPlace } = await import('../place/bench.js');
      process.exitCode = await benchPlace({
        ...options,
        layouts: layouts.length > 0 ? layouts : ['2x2', '4x2'],
        routers: only.length > 0 ? only : ['locmoe', 'switch', 'moge'],
        out: out ?? options.workDir,
      });
    },
  );
}

/** Adds `locmoe plan`, which predicts the step time of a cluster from a cost model. */
export function addPlanCommand(program: Command): void {
  program
    .command('plan')
    .description(BENCH_COMMANDS.plan)
    .requiredOption('--config <file|recipe>', 'what would be trained')
    .option(SET[0], 'override a field, e.g. moe.router=hash; repeat for several', collect, [])
    .option('--nodes <n>', 'number of nodes (cluster.nodes)', wholeNumber(0))
    .option('--workers-per-node <n>', 'workers on each node (cluster.workersPerNode)', wholeNumber(0))
    .option('--link <rate,latency>', 'link of a node to all others, e.g. 100gbps,5us (cluster.interNodeLink)')
    .option('--cores-per-node <n>', 'cores of a node (those of the calibrated machine)', numberFrom(0.01))
    .option('--shared-machine', 'all nodes share the cores of the calibrated machine', false)
    .option('--flops <n>', 'FLOP/s of a worker instead of the measured ones, e.g. 2e11', numberFrom(1))
    .option('--kept-per-token <n>', 'choices of a token that are kept, on average', numberFrom(0))
    .option(
      '--local-gain <share>',
      'share of the rows bound for other nodes that the router keeps on the node',
      numberFrom(0),
    )
    .option('--imbalance <factor>', 'rows of the busiest rank over those of the mean rank', numberFrom(1))
    .option('--calibration <file>', 'costs of the machine (those of the last locmoe bench plan)')
    .option('--json', 'print the plan as JSON', false)
    .action(async (options: PlanOptions) => {
      const { printPlan } = await import('../plan/describe.js');
      printPlan(options);
    });
}
