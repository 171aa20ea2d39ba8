import type { Command } from 'commander';
import { asTrainerError, EXIT } from '../../errors.js';
import { addSecurityOptions, type SecurityFlags, securityOf } from './security-options.js';

/** `locmoe health`: for the health checks of containers. */
export function addHealthCommand(program: Command): void {
  const command = program
    .command('health')
    .description(
      'ask a coordinator or a node whether it is usable (grpc.health.v1): exit code 0 if so, else 1',
    )
    .requiredOption('--address <host:port>', 'where it listens');
  addSecurityOptions(command, { listens: false }).action(
    async ({ address, ...flags }: SecurityFlags & { readonly address: string }) => {
      try {
        const { checkHealth } = await import('../../rpc/health.js');
        await checkHealth(address, securityOf(flags));
        console.log(`${address} is SERVING`);
      } catch (error) {
        console.error(`locmoe: ${asTrainerError(error).line}`);
        process.exitCode = EXIT.unhealthy;
      }
    },
  );
}
