import { allReduce, type GradualAllReduce } from '../collectives/all-reduce.js';
import type { WirePrecision } from '../collectives/communicator.js';
import type { Transport } from '../collectives/transport.js';
import type { ParameterGroup, ParameterRange, ParameterStore } from '../parameters/parameters.js';
import { squaredNorm } from './optimizer.js';

/** Results of the gradient reduction, equal on all ranks. */
export interface SyncedGradients {
  /** L2 norm of the global loss's gradient over all parameters of the model, each counted once. */
  readonly norm: number;
  /** Ranks whose loss is NaN or infinite. */
  readonly numBadLosses: number;
  /** True if any rank was asked to stop. */
  readonly stopAsked: boolean;
  /** Share of train.maxHours that has passed by the run's single clock; 0 without such a limit. */
  readonly timeUsed: number;
  /** Sum of the votes of all ranks. */
  readonly snapshot: SnapshotVote;
}

/** Vote of a rank on taking a snapshot after a step, or the sum of all ranks' votes. */
export interface SnapshotVote {
  /** Number of ranks that cannot take a snapshot after this step. */
  readonly refusals: number;
  /** Cost of a snapshot in steps, summed over ranks. */
  readonly cost: number;
  /** The same of a local snapshot; Infinity if a rank can take none. */
  readonly localCost: number;
}

export interface GradientSyncOptions {
  readonly transport: Transport;
  readonly parameters: Pick<ParameterStore, 'shared' | 'expert' | 'onDevice'>;
  /** Ranks that hold the same experts, this one included. */
  readonly replicas: readonly number[];
  /** Ranges of the unfrozen experts that have gradients, equal on all replicas; null for all experts. */
  readonly touched: readonly ParameterRange[] | null;
  /** All-reduce of the shared gradients, which has started during the backward pass. */
  readonly sharedSum: GradualAllReduce;
  /** Precision of the gradients of experts between nodes. */
  readonly wirePrecision: WirePrecision;
  /** Loss of this rank. */
  readonly loss: number;
  /** Share of train.maxHours that has passed by the clock of this rank; 0 on all ranks but one. */
  readonly timeUsed: number;
  readonly snapshot: SnapshotVote;
}

/**
 * Returns the gradients up to the last parameter that is not frozen, in a group whose parameters keep their places.
 * Gradients of frozen parameters among them are zero on every rank.
 */
export function trainedGradients({ gradients, trained }: ParameterGroup): Float32Array {
  return gradients.subarray(0, trained.at(-1)?.end ?? 0);
}

/**
 * Sums the gradients of shared parameters over all ranks, and those of experts over their replicas. Each rank
 * differentiates its mean loss divided by the world size, so the sums are the gradient of the global mean.
 */
export function syncGradients(options: GradientSyncOptions): SyncedGradients {
  const { transport, replicas, touched, sharedSum, wirePrecision, loss, timeUsed, snapshot } = options;
  const { shared, expert, onDevice } = options.parameters;
  sharedSum.finish();
  // A rank whose experts are all frozen also calls allReduce, as its replicas do.
  if (replicas.length > 1 && expert.gradients.length > 0)
    inOneArray(expert, touched, (data) =>
      allReduce(transport, { data, group: replicas, purpose: 'expert gradients', wirePrecision }),
    );
  // The experts' norm, or that of all parameters on a device, and the flags share one small message per step.
  const totals = Float32Array.of(
    onDevice?.squaredNorm() ?? squaredNorm(expert, touched) / replicas.length,
    transport.stopRequested ? 1 : 0,
    timeUsed,
    Number.isFinite(loss) ? 0 : 1,
    snapshot.refusals,
    snapshot.cost,
    snapshot.localCost,
  );
  allReduce(transport, { data: totals, purpose: 'gradient norm' });
  return {
    norm: Math.sqrt((onDevice === null ? squaredNorm(shared) : 0) + totals[0]!),
    stopAsked: totals[1]! > 0,
    timeUsed: totals[2]!,
    numBadLosses: totals[3]!,
    snapshot: { refusals: totals[4]!, cost: totals[5]!, localCost: totals[6]! },
  };
}

/** Applies `change` to the gradients in these ranges, joined in one array; null for all that are not frozen. */
function inOneArray(
  group: ParameterGroup,
  ranges: readonly ParameterRange[] | null,
  change: (gradients: Float32Array) => void,
): void {
  if (ranges === null) {
    change(trainedGradients(group));
    return;
  }
  const joined = new Float32Array(ranges.reduce((sum, { begin, end }) => sum + end - begin, 0));
  let next = 0;
  const parts = ranges.map(({ begin, end }) => {
    const part = joined.subarray(next, next + end - begin);
    next += end - begin;
    return { place: group.gradients.subarray(begin, end), part };
  });
  for (const { place, part } of parts) part.set(place);
  change(joined);
  for (const { place, part } of parts) place.set(part);
}
