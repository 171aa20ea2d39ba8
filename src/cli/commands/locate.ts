import { findRun, type RunFolder, type RunRecord } from '@locmoe/run-format';
import type { Command } from 'commander';
import { isLive, reachableAddress } from '../../coordinator/planning/run-liveness.js';
import { parseAddress } from '../../rpc/address.js';
import { CoordinatorClient } from '../../rpc/coordinator-client.js';
import { loadSecurity, NO_SECURITY, type Security, type SecurityOptions } from '../../rpc/security.js';
import { runLedAt, securityOfRun } from '../../run/run-token.js';
import { addSecurityOptions } from './options.js';

export interface LocateOptions extends SecurityOptions {
  readonly coordinator?: string;
  readonly run?: string;
  readonly runsDir: string;
}

/** A live run to query over gRPC, or the folder of a past one. */
export type LocatedRun =
  | { readonly kind: 'live'; readonly client: CoordinatorClient }
  | { readonly kind: 'over'; readonly folder: RunFolder; readonly record: RunRecord };

export function addLocateOptions(command: Command): Command {
  command
    .option('--run <dir>', 'name or folder of a run (default: the newest)')
    .option('--coordinator <host:port>', 'ask a coordinator by address')
    .option('--runs-dir <dir>', 'folder that holds the runs', 'runs');
  return addSecurityOptions(command, { listens: false });
}

/** Finds the run: the coordinator at an address, the named run, or the newest under the runs folder. */
export async function locateRun(options: LocateOptions): Promise<LocatedRun> {
  if (options.coordinator !== undefined)
    return {
      kind: 'live',
      client: new CoordinatorClient(options.coordinator, securityAt(options.coordinator, options)),
    };
  const { folder, record } = findRun(options.runsDir, options.run);
  const security = securityFor({ folder, record }, options);
  if (!(await isLive(record, security))) return { kind: 'over', folder, record };
  return { kind: 'live', client: new CoordinatorClient(reachableAddress(record), security) };
}

/**
 * Returns the credentials for a run: the given ones if the run was started with any, else those in its
 * folder, even if the environment names some for other runs.
 *
 * @throws TrainerError `UNAUTHENTICATED` if the run is another user's
 */
export function securityFor(
  { folder, record }: { readonly folder: RunFolder; readonly record: RunRecord },
  flags: SecurityOptions,
): Security {
  return record.isSecured ? loadSecurity(flags) : securityOfRun(folder);
}

/** Returns the given credentials, or else those of the run that this user leads at the address. */
function securityAt(coordinator: string, flags: SecurityOptions): Security {
  const given = loadSecurity(flags);
  if (given !== NO_SECURITY) return given;
  const run = runLedAt(parseAddress('--coordinator', coordinator));
  return run === null ? given : securityOfRun(run);
}
