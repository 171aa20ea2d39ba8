import { type Command, Option } from 'commander';
import { ParentWatch } from '../../agent/parent-watch.js';
import type { NodeOptions } from '../../agent/run-node.js';
import { ensureTensorFlow } from '../../local/set-up.js';
import { ownRouterName, trustRouter } from '../../routing/own/router-file.js';
import { loadSecurity, NO_SECURITY, type SecurityOptions } from '../../rpc/security.js';
import { addSecurityOptions, MAX_WAIT_S, numberFrom } from './options.js';

interface NodeFlags extends Omit<NodeOptions, 'security' | 'parent' | 'output'>, SecurityOptions {
  readonly quiet?: true;
  readonly exitWithParent?: number;
  readonly router?: string;
}

/** `locmoe node`: runs one node of a run; `train` starts these itself. */
export function nodeCommand(command: Command): void {
  command
    .addOption(
      new Option('--coordinator <host:port>', 'where the coordinator listens; it may come up later')
        .env('LOCMOE_COORDINATOR')
        .makeOptionMandatory(),
    )
    .option('--listen <host:port>', 'where the other nodes connect; port 0 takes a free one', '127.0.0.1:0')
    .option(
      '--advertise <host[:port]>',
      'the address that is given to the other nodes, e.g. behind NAT (default: that of --listen, or if it is 0.0.0.0 that of the interface towards the coordinator)',
    )
    .option(
      '--join-timeout <seconds>',
      'how long to look for the coordinator',
      numberFrom(1, MAX_WAIT_S),
      300,
    )
    .option('--forever', 'after a run, well or badly ended, wait for the next; wait also while a run is full')
    .option(
      '--allow-faults',
      'inflict the faults of `locmoe chaos` on this node when the coordinator says so',
    )
    .option('--router <file>', 'a router of your own (moe.router) that this node may run')
    .option('--quiet', 'do not copy the log to standard output')
    .option(
      '--exit-with-parent <pid>',
      'end when the process that started this one has ended',
      numberFrom(1),
    );
  addSecurityOptions(command, { listens: true })
    .addHelpText(
      'after',
      '\nOn loopback a node finds the token of a coordinator of the same user by itself. The coordinator gives out node ids in the order of joining; they do not change what is computed. SIGTERM asks the coordinator for a final checkpoint and the end of the run; without a run it ends the node at once.',
    )
    .action(async (flags: NodeFlags) => {
      const given = loadSecurity(flags);
      if (flags.router !== undefined) trustRouter(ownRouterName(flags.router, process.cwd()) ?? flags.router);
      // The watch starts before the slow imports, so that an orphan ends without them.
      const parent = flags.exitWithParent === undefined ? null : new ParentWatch(flags.exitWithParent);
      await ensureTensorFlow();
      const { runNode } = await import('../../agent/run-node.js');
      process.exitCode = await runNode({
        ...flags,
        security: given === NO_SECURITY ? null : given,
        parent,
        // A node of `train` prints nothing, and starts without the printer.
        output: flags.quiet ? null : (await import('../log-printer.js')).nodeOutput(process.stdout),
      });
    });
}
