import type { Command } from 'commander';
import { isLive, reachableAddress } from '../../coordinator/run-liveness.js';
import { CoordinatorClient } from '../../rpc/coordinator-client.js';
import { NO_SECURITY } from '../../rpc/security.js';
import { findRun, type RunFolder, type RunRecord } from '../../run/run-folder.js';
import { addSecurityOptions, type SecurityFlags, securityOf } from './security-options.js';

/** Options of `status`, `logs` and `stop` that name the run. */
export interface LocateOptions extends SecurityFlags {
  readonly coordinator?: string;
  readonly run?: string;
  readonly runsDir: string;
}

/** A live run to ask over gRPC, or the folder of one that is over. */
export type LocatedRun =
  | { readonly kind: 'live'; readonly client: CoordinatorClient }
  | { readonly kind: 'over'; readonly folder: RunFolder; readonly record: RunRecord };

/** Adds the options that name the run. */
export function addLocateOptions(command: Command): Command {
  command
    .option('--run <dir>', 'run folder or run id (default: the newest)')
    .option('--coordinator <host:port>', 'ask a coordinator by address')
    .option('--runs-dir <dir>', 'folder that holds the runs', 'runs');
  return addSecurityOptions(command, { listens: false });
}

/** Finds the run: the coordinator at an address, the named run, or the newest under the runs folder. */
export async function locateRun(options: LocateOptions): Promise<LocatedRun> {
  if (options.coordinator !== undefined)
    return { kind: 'live', client: new CoordinatorClient(options.coordinator, securityOf(options)) };
  const { folder, record } = findRun(options.runsDir, options.run);
  // A run of `locmoe train` uses no certificates, whatever the environment says.
  const security = record.isSecured ? securityOf(options) : NO_SECURITY;
  if (!(await isLive(record, security))) return { kind: 'over', folder, record };
  return { kind: 'live', client: new CoordinatorClient(reachableAddress(record), security) };
}
