import { type Checkpoint, newestValid, openCheckpoint } from '../checkpoint/checkpoint.js';
import { claimCheckpoints, committedFolders } from '../checkpoint/folders.js';
import { generationOf } from '../checkpoint/manifest.js';
import { crossFieldProblems } from '../config/cross-field.js';
import type { RunConfig } from '../config/schema.js';
import type { RunFolder } from '../run/run-folder.js';
import type { RunPlan } from './run-options.js';
import { whySuspect } from './suspect-checkpoint.js';

/**
 * The checkpoint from which a run goes on after a failure: the newest valid one that it has written since this process
 * leads it, or what it was started from; null to begin anew. One whose weights led to the failure is passed over. Takes
 * the checkpoints over for the generation.
 *
 * @throws TrainerError `BAD_CHECKPOINT` if there are some, and none can be loaded
 */
export function checkpointAfterFailure(
  plan: Pick<RunPlan, 'checkpoint' | 'resumed'>,
  folder: RunFolder,
  generation: number,
  warn: (message: string) => void,
): Checkpoint | null {
  claimCheckpoints(folder.checkpoints, generation);
  const first = plan.resumed?.generation ?? 1;
  // Those of earlier generations that the run has gone back behind are no longer part of it.
  const own = committedFolders(folder.checkpoints, Number.POSITIVE_INFINITY).filter(
    (each) => each === plan.checkpoint?.folder || (generationOf(each) ?? first) >= first,
  );
  if (own.length === 0) return plan.checkpoint === null ? null : openCheckpoint(plan.checkpoint.folder);
  const failures = folder.failures();
  const suspicions = own.flatMap((each) => whySuspect(each, failures) ?? []);
  if (plan.checkpoint === null && suspicions.length === own.length) {
    warn(`${suspicions.join('; ')}; the run begins anew`);
    return null;
  }
  return newestValid(own, warn, (each) => whySuspect(each, failures));
}

/**
 * The most nodes, of those that came, with which a run can go on; 0 if it cannot.
 *
 * @param numNodes those that came
 */
export function nodesThatSuffice(config: RunConfig, numNodes: number): number {
  const { minNodes } = config.cluster;
  if (minNodes === null) return 0;
  for (let nodes = numNodes; nodes >= minNodes; nodes--)
    if (crossFieldProblems(withNodes(config, nodes)).length === 0) return nodes;
  return 0;
}

/** The global batch stays the same, and the experts are spread over the nodes that there are. */
export function withNodes(config: RunConfig, nodes: number): RunConfig {
  return { ...config, cluster: { ...config.cluster, nodes, minNodes: null } };
}
