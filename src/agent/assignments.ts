import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { topologyOf } from '../collectives/topology.js';
import type { RunConfig } from '../config/schema.js';
import { TrainerError } from '../errors.js';
import type { JoinReply } from '../rpc/generated/messages.js';
import type { WorkerAssignment } from '../worker/messages.js';

export function assignmentsOf(
  { runId, generation, node, runDir, datasetDir, initFrom, inheritance }: JoinReply,
  config: RunConfig,
  own: Pick<WorkerAssignment, 'segmentPath' | 'snapshotDir' | 'snapshotHeir' | 'resumeFrom' | 'start'>,
): WorkerAssignment[] {
  const { nodes, workersPerNode } = config.cluster;
  return Array.from({ length: workersPerNode }, (_, localRank) => ({
    runId,
    generation,
    config,
    datasetDir,
    ...own,
    topology: topologyOf(node * workersPerNode + localRank, nodes, workersPerNode),
    checkpointDir: `${runDir}/checkpoints`,
    initFrom: initFrom || null,
    inheritance: inheritance ?? null,
  }));
}

/** Fails early on missing folders: all nodes read the data and write checkpoints under the coordinator's paths. */
export function assertSharedFolders({ runDir, datasetDir }: JoinReply): void {
  const missing = [runDir, datasetDir].find((folder) => !existsSync(folder));
  if (missing !== undefined)
    throw new TrainerError(
      'NO_RESOURCE',
      `${missing} does not exist on ${hostname()}: every node needs the folders of the runs and of the ` +
        "data under the coordinator's paths (a shared volume)",
    );
}
