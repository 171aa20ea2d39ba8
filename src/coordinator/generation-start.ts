import { type Checkpoint, newestValid } from '../checkpoint/checkpoint.js';
import { claimCheckpoints, committedFolders, stepOf } from '../checkpoint/folders.js';
import { generationOf } from '../checkpoint/manifest.js';
import { crossFieldProblems } from '../config/cross-field.js';
import type { RunConfig } from '../config/schema.js';
import type { RunFolder } from '../run/run-folder.js';
import type { RunPlan } from './run-options.js';
import { whySuspect } from './suspect-checkpoint.js';

/**
 * The checkpoint from which a run goes on after a failure: the newest valid one of those that it has written since it
 * began, or since the checkpoint that this process resumed it from; null to begin anew. One whose weights led to the
 * failure is passed over. Takes the checkpoints over for the generation.
 *
 * @throws TrainerError `BAD_CHECKPOINT` if there are some, and none can be loaded
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

/** Checkpoints that the run has come from, newest first; not those of a time that it has gone back behind. */
function lineageOf(
  { checkpoint, resumed }: Pick<RunPlan, 'checkpoint' | 'resumed'>,
  folder: RunFolder,
): string[] {
  const first = resumed?.generation ?? 1;
  const startStep = checkpoint?.manifest.step ?? 0;
  const own = committedFolders(folder.checkpoints, Number.POSITIVE_INFINITY).filter(
    (each) => (generationOf(each) ?? first) >= first || stepOf(each) <= startStep,
  );
  // A new run that was started from a checkpoint of another.
  return checkpoint === null || resumed !== null ? own : [...own, checkpoint.folder];
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
