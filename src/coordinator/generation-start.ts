import { generationOf, type RunFolder, stepOf } from '@locmoe/run-format';
import { type Checkpoint, newestValid, openCheckpoint } from '../checkpoint/checkpoint.js';
import { claimCheckpoints, committedFolders } from '../checkpoint/folders.js';
import { crossFieldProblems } from '../config/cross-field.js';
import type { RunConfig } from '../config/schema.js';
import { asTrainerError, type TrainerError } from '../errors.js';
import type { Coordinator } from './coordinator.js';
import type { RunIdentity } from './coordinator-options.js';
import type { RunPlan } from './planning/run-options.js';
import { whySuspect } from './planning/suspect-checkpoint.js';
import type { OpenRun } from './run-view.js';
import type { SnapshotTable } from './snapshot-table.js';

export interface NextGeneration {
  readonly plan: RunPlan;
  readonly run: Pick<OpenRun, 'identity' | 'folder' | 'logger'>;
  readonly snapshots: SnapshotTable;
  readonly generation: number;
  /** The previous generation. */
  readonly failed: Coordinator;
}

/**
 * Decides what the generation after a failure starts from, and with how many nodes.
 *
 * @returns the identity of the generation, with an error if there is no checkpoint to start from
 */
export async function nextIdentity(
  given: NextGeneration,
): Promise<{ readonly identity: RunIdentity; readonly error: TrainerError | null }> {
  const { plan, generation, failed } = given;
  const { identity, folder, logger } = given.run;
  const config = nextConfig(plan.config, failed);
  if (failed.admission.hasMissedNodes) given.snapshots.notStarted();
  const next = { ...identity, generation, config };
  try {
    claimCheckpoints(folder.checkpoints, generation);
    const newest = newestReadable(lineageOf(plan, folder));
    // After a non-finite step the state in memory may itself be the cause.
    const mayUseMemory = failed.lifecycle.failure?.error.code !== 'NOT_FINITE';
    const { nodes: numNodes } = config.cluster;
    // Whoever starts from memory reads no checkpoint, and reading one takes as long as the rest of a restart.
    const isInMemory = mayUseMemory && given.snapshots.newest(numNodes, newest?.manifest.step ?? 0) !== null;
    const checkpoint = isInMemory
      ? newest
      : await checkpointAfterFailure(plan, folder, generation, (line) => logger.warn(line));
    const savedStep = checkpoint?.manifest.step ?? 0;
    if (!mayUseMemory) given.snapshots.forget();
    const { ref: snapshot = null, holders = null } = given.snapshots.choose(numNodes, savedStep) ?? {};
    const addressOf = (node: number) => failed.members.get(node).request.dataAddress;
    const snapshotHolders = holders?.map(addressOf) ?? null;
    const unused = failed.identity.snapshot;
    if (unused != null && snapshot === null && unused.step > savedStep)
      logger.warn(
        `the snapshot of step ${unused.step} is not used: generation ${generation} starts from ${checkpoint?.folder ?? 'the beginning'}`,
      );
    const resumedStep = snapshot?.step ?? savedStep;
    const place = { resumeFrom: checkpoint?.folder ?? null, resumedStep };
    // Past step 0 the restored state replaces the initial weights.
    const initFrom = place.resumedStep === 0 ? identity.initFrom : null;
    return { identity: { ...next, ...place, snapshot, snapshotHolders, initFrom }, error: null };
  } catch (error) {
    return { identity: { ...next, resumeFrom: null, resumedStep: 0 }, error: asTrainerError(error) };
  }
}

/** Returns the configuration for as many nodes as were there, with those that have asked to join since. */
function nextConfig(config: RunConfig, { admission, members, identity }: Coordinator): RunConfig {
  const { nodes } = identity.config.cluster;
  const numNodes = admission.hasMissedNodes ? members.numConnected : nodes + admission.numAsking;
  if (numNodes >= config.cluster.nodes) return config;
  const suffice = nodesThatSuffice(config, numNodes);
  return suffice === 0 ? config : withNodes(config, suffice);
}

/** Opens the newest of some checkpoints whose manifest is whole, without its other files; null if there is none. */
function newestReadable(folders: readonly string[]): Checkpoint | null {
  for (const folder of folders)
    try {
      return openCheckpoint(folder);
    } catch {
      // Whoever loads it warns of it.
    }
  return null;
}

/**
 * Finds the checkpoint to restart from: the newest valid one that the run has written since it began, or
 * since the checkpoint from which this process resumed it; null to start over. A checkpoint whose weights led
 * to the failure is skipped. Claims the checkpoints for the generation.
 *
 * @throws TrainerError `BAD_CHECKPOINT` if there are checkpoints, but none can be loaded
 */
export async function checkpointAfterFailure(
  plan: Pick<RunPlan, 'checkpoint' | 'resumed'>,
  folder: RunFolder,
  generation: number,
  warn: (message: string) => void,
): Promise<Checkpoint | null> {
  claimCheckpoints(folder.checkpoints, generation);
  const candidates = lineageOf(plan, folder);
  if (candidates.length === 0) return null;
  const failures = folder.failures();
  const suspicions = candidates.flatMap((each) => whySuspect(each, failures) ?? []);
  if (plan.checkpoint === null && suspicions.length === candidates.length) {
    warn(`${suspicions.join('; ')}; the run begins anew`);
    return null;
  }
  return newestValid(candidates, warn, (each) => whySuspect(each, failures));
}

/** Lists checkpoints on the run's current history, newest first, without those of steps that were undone. */
function lineageOf(
  { checkpoint, resumed }: Pick<RunPlan, 'checkpoint' | 'resumed'>,
  folder: RunFolder,
): string[] {
  const first = resumed?.generation ?? 1;
  const startStep = checkpoint?.manifest.step ?? 0;
  const own = committedFolders(folder.checkpoints, Number.POSITIVE_INFINITY).filter(
    (each) => (generationOf(each) ?? first) >= first || stepOf(each) <= startStep,
  );
  // A new run was forked from the checkpoint of another.
  return checkpoint === null || resumed !== null ? own : [...own, checkpoint.folder];
}

/**
 * Returns the largest number of nodes, of those that joined, with which a run can go on; 0 if there is none.
 *
 * @param numNodes number of nodes that joined; more than `cluster.nodes` count as so many
 */
export function nodesThatSuffice(config: RunConfig, numNodes: number): number {
  const { minNodes } = config.cluster;
  if (minNodes === null) return 0;
  for (let nodes = Math.min(numNodes, config.cluster.nodes); nodes >= minNodes; nodes--)
    if (crossFieldProblems(withNodes(config, nodes)).length === 0) return nodes;
  return 0;
}

/** Keeps the global batch and spreads the experts over `nodes`; drops a placement for another number. */
export function withNodes(config: RunConfig, nodes: number): RunConfig {
  const placement = nodes === config.cluster.nodes ? config.moe.placement : null;
  return {
    ...config,
    moe: { ...config.moe, placement },
    cluster: { ...config.cluster, nodes, minNodes: null },
  };
}
