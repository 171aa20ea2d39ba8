import type { Command } from 'commander';
import { asTrainerError, EXIT } from '../../errors.js';
import type { SecurityOptions } from '../../rpc/security.js';
import { addSecurityOptions } from './options.js';

/** `locmoe health`: answers the health checks of containers. */
export function healthCommand(command: Command): void {
  command.requiredOption('--address <host:port>', 'where it listens');
  addSecurityOptions(command, { listens: false }).action(
    async ({ address, ...security }: SecurityOptions & { readonly address: string }) => {
      try {
        const { checkHealth } = await import('../../rpc/health.js');
        const { loadSecurity } = await import('../../rpc/security.js');
        await checkHealth(address, loadSecurity(security));
        console.log(`${address} is SERVING`);
      } catch (error) {
        console.error(`locmoe: ${asTrainerError(error).line}`);
        process.exitCode = EXIT.unhealthy;
      }
    },
  );
}
