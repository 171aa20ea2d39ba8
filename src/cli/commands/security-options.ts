import { type Command, Option } from 'commander';
import { loadSecurity, type Security } from '../../rpc/security.js';

/** Options of every command that connects to another process of a cluster. */
export interface SecurityFlags {
  readonly tls?: string;
  readonly tokenFile?: string;
}

/** Adds `--tls` and `--token-file`, and for commands that listen `--insecure`. */
export function addSecurityOptions(command: Command, { listens }: { readonly listens: boolean }): Command {
  command
    .addOption(
      new Option(
        '--tls <dir>',
        'mutual TLS with ca.pem, cert.pem and key.pem of this folder (locmoe certs)',
      ).env('LOCMOE_TLS_DIR'),
    )
    .addOption(
      new Option('--token-file <file>', 'file with the join token of the cluster (locmoe certs)').env(
        'LOCMOE_TOKEN_FILE',
      ),
    );
  return listens
    ? command.option('--insecure', 'listen beyond loopback in plain text; a join token is still required')
    : command;
}

/** @throws TrainerError `UNAUTHENTICATED` if a file is missing, damaged, expired, or does not fit */
export function securityOf({ tls, tokenFile }: SecurityFlags): Security {
  return loadSecurity({ tls, tokenFile });
}
