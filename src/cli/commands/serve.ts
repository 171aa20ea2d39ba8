import type { Command } from 'commander';
import type { ServeOptions } from '../served-run.js';
import { addSecurityOptions, MAX_WAIT_S, numberFrom } from './options.js';
import { addTrainingOptions } from './training-options.js';

/** `locmoe serve`: runs the coordinator alone; its nodes are started elsewhere. */
export function serveCommand(command: Command): void {
  addServingOptions(command, '127.0.0.1:50051')
    .addHelpText(
      'after',
      '\nStop it with `locmoe stop`, Ctrl-C or SIGTERM: a final checkpoint, then exit code 0, or 130 for a signal. Nodes need the folders of runs and data under the same paths as the coordinator (a shared volume).',
    )
    .action(async (options: Omit<ServeOptions, 'security'>) => {
      const { loadSecurity } = await import('../../rpc/security.js');
      const security = loadSecurity(options);
      const { serve } = await import('../served-run.js');
      process.exitCode = await serve({ ...options, security });
    });
}

/** Adds the options of a coordinator whose nodes are started elsewhere. */
export function addServingOptions(command: Command, listen: string): Command {
  addTrainingOptions(command)
    .option('--listen <host:port>', 'where nodes and commands connect; port 0 takes a free one', listen)
    .option(
      '--advertise <host[:port]>',
      "the address that is given to others (default: that of --listen, or this machine's name if it is 0.0.0.0)",
    )
    .option('--join-timeout <seconds>', 'how long to wait for all nodes', numberFrom(1, MAX_WAIT_S), 300)
    .option(
      '--resume-or-start',
      'go on with the newest run if it has a checkpoint and steps left to do, else start a new one (for restarts)',
      false,
    )
    .option('--json-logs', 'print log records, progress and summary as lines of JSON', false);
  return addSecurityOptions(command, { listens: true });
}
