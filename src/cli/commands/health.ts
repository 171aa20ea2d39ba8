import type { Command } from 'commander';
import { asTrainerError, EXIT } from '../../errors.js';
import { addSecurityOptions, type SecurityFlags, securityOf } from './security-options.js';

/** `locmoe health`: answers the health checks of containers. */
export function healthCommand(command: Command): void {
  command.requiredOption('--address <host:port>', 'where it listens');
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
