import type { Command } from 'commander';

interface NodeOptions {
  readonly coordinator: string;
  readonly quiet?: boolean;
  readonly exitWithParent?: boolean;
}

/** `locmoe node`: one node of a run; `train` starts them by itself. */
export function addNodeCommand(program: Command): void {
  program
    .command('node')
    .description(
      'be one node of a run: join a coordinator, start the workers, carry their bytes (train starts these itself)',
    )
    .requiredOption('--coordinator <host:port>', 'where the coordinator listens')
    .option('--quiet', 'do not copy the log to standard output')
    .option('--exit-with-parent', 'end when the process that started this one has ended')
    .action(async (options: NodeOptions) => {
      const { runNodeAgent } = await import('../../agent/node-agent.js');
      process.exitCode = await runNodeAgent({
        coordinatorAddress: options.coordinator,
        logToStdout: options.quiet !== true,
        exitWithParent: options.exitWithParent === true,
      });
    });
}
