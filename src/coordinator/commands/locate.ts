import * as grpc from '@grpc/grpc-js';
import { CoordinatorClient } from '../../rpc/coordinator-client.js';
import { findRun, isLive, type RunFolder, type RunRecord } from '../run-folder.js';

/** How `status` and `logs` are told which run is meant. */
export interface LocateOptions {
  readonly coordinator?: string;
  readonly run?: string;
  readonly runsDir: string;
}

/** A live run to ask over gRPC, or the folder of one that is over. */
export type LocatedRun =
  | { readonly kind: 'live'; readonly client: CoordinatorClient }
  | { readonly kind: 'over'; readonly folder: RunFolder; readonly record: RunRecord };

/** Finds the run: the coordinator at an address, the named run, or the newest under the runs folder. */
export function locateRun(options: LocateOptions): LocatedRun {
  const connect = (address: string) => new CoordinatorClient(address, grpc.credentials.createInsecure());
  if (options.coordinator !== undefined) return { kind: 'live', client: connect(options.coordinator) };
  const { folder, record } = findRun(options.runsDir, options.run);
  return isLive(record)
    ? { kind: 'live', client: connect(record.address) }
    : { kind: 'over', folder, record };
}
