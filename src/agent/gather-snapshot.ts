import { timeoutsOf } from '../config/timeouts.js';
import { asTrainerError, TrainerError } from '../errors.js';
import type { SnapshotRef } from '../rpc/generated/messages.js';
import { filesOfNode, NodeSnapshot, type SnapshotWorld } from './node-snapshot.js';
import { type FetchedFiles, type FetchOptions, fetchSnapshot } from './snapshot-fetch.js';

/** Where the state of a node's ranks is fetched from, and the folder into which it is. */
export interface SnapshotSource extends Pick<FetchOptions, 'address' | 'folder'> {
  readonly node: number;
  /** Fetches the parameters that all ranks share, too. */
  readonly withShared: boolean;
}

type Connection = Pick<FetchOptions, 'security' | 'signal'>;

/**
 * Fetches the state of one node's ranks.
 *
 * @param world its configuration is that of the layout in which the snapshot was taken
 * @throws as `fetchSnapshot`
 */
export function fetchState(
  { runId, generation, config }: SnapshotWorld,
  { step, generation: snapshotGeneration }: SnapshotRef,
  { address, folder, node, withShared }: SnapshotSource,
  connection: Connection,
): Promise<FetchedFiles> {
  return fetchSnapshot({
    ...connection,
    address,
    folder,
    request: { runId, generation, snapshotGeneration, step, node, withShared },
    allowed: filesOfNode(config, node),
    timeoutMs: timeoutsOf(config.cluster).saveMs,
  });
}

/**
 * Gathers a snapshot of another layout as a checkpoint folder with the files of all its ranks.
 *
 * @param from `holders` has for each node of that layout the address of an agent that holds its state
 * @returns the folder
 * @throws TrainerError `BAD_CHECKPOINT` if it cannot be gathered
 */
export async function gatherSnapshot(
  now: SnapshotWorld,
  chosen: SnapshotRef,
  {
    holders,
    folder,
    ...connection
  }: Connection & {
    readonly holders: readonly string[];
    readonly folder: string;
  },
): Promise<string> {
  const cluster = { ...now.config.cluster, nodes: holders.length };
  const world = { ...now, config: { ...now.config, cluster } };
  const snapshot = new NodeSnapshot(folder, chosen, world);
  try {
    const fetched = await Promise.all(
      holders.map((address, node) =>
        fetchState(world, chosen, { address, folder, node, withShared: node === 0 }, connection),
      ),
    );
    snapshot.metrics = fetched[0]!.metrics;
    await snapshot.complete(fetched.flatMap(({ files }) => files));
  } catch (error) {
    throw new TrainerError(
      'BAD_CHECKPOINT',
      `the state in the memory of ${holders.length} nodes is lost: ${asTrainerError(error).message}`,
    );
  }
  return folder;
}
