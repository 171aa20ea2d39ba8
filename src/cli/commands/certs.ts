import type { Command } from 'commander';
import { wholeNumber } from './options.js';

/** `locmoe certs`: creates certificates and a join token for a cluster. */
export function certsCommand(command: Command): void {
  command
    .requiredOption('--out <dir>', 'folder for the files; none is overwritten')
    .option('--days <n>', 'how long the certificates are valid', wholeNumber(1, 36_500), 365)
    .addHelpText(
      'after',
      '\nGive --tls DIR and --token-file DIR/token to serve, node, status, logs, stop and health. Every member uses the same certificate: it says "a member of this cluster", not "this host". Keep ca-key.pem away from the members.',
    )
    .action(async ({ out, days }: { readonly out: string; readonly days: number }) => {
      const { makeCertificates } = await import('../../rpc/certificates.js');
      for (const file of await makeCertificates(out, days)) console.log(file);
    });
}
