import type { Command } from 'commander';
import { collect, numberFrom, wholeNumber } from 'locmoe/internal/cli/commands/options';
import { BENCH_COMMANDS } from 'locmoe/internal/cli/packages';
import type { PlanOptions } from '../plan/inputs.js';

/** `locmoe plan`: predicts the step time of a cluster from a cost model. */
export function addPlanCommand(program: Command): void {
  program
    .command('plan')
    .description(BENCH_COMMANDS.plan)
    .requiredOption('--config <file|recipe>', 'what would be trained')
    .option('--set <key=value>', 'override a field, e.g. moe.router=hash; repeat for several', collect, [])
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
      // Lazy: the modules of the model load TensorFlow.
      const { printPlan } = await import('../plan/print-plan.js');
      printPlan(options);
    });
}
