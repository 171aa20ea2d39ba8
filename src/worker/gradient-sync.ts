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
  /** True if any rank wants this step to be the last. */
  readonly endAsked: boolean;
  /** Of all ranks. */
  readonly snapshot: SnapshotVote;
}

/** What is agreed on about snapshots in each step. */
export interface SnapshotVote {
  /** Ranks that can take none after this step. */
  readonly refusals: number;
  /** Cost of a snapshot, in steps; summed over ranks. */
  readonly cost: number;
}

export interface GradientSyncOptions {
  readonly transport: Transport;
  readonly parameters: Pick<ParameterStore, 'shared' | 'expert'>;
  /** Ranks that hold the same experts, this one included. */
  readonly replicas: readonly number[];
  /** Of the experts that have gradients, and are not frozen, equal on all replicas; null for all experts. */
  readonly touched: readonly ParameterRange[] | null;
  /** All-reduce of the shared gradients, begun during the backward pass. */
  readonly sharedSum: GradualAllReduce;
  /** Of the gradients of experts between nodes. */
  readonly wirePrecision: WirePrecision;
  /** Of this rank. */
  readonly loss: number;
  /** This rank wants this step to be the last. */
  readonly wantsEnd: boolean;
  readonly snapshot: SnapshotVote;
}

/** Gradients of the parameters that are not frozen, in a group of fixed places; the others' are zero on every rank. */
export function trainedGradients({ gradients, trained }: ParameterGroup): Float32Array {
  return gradients.subarray(0, trained.at(-1)?.end ?? 0);
}

/**
 * Sums the gradients of shared parameters over all ranks, and those of experts over their replicas. Each rank
 * differentiates its mean loss divided by the world size, so the sums are the gradient of the global mean.
 */
export function syncGradients(options: GradientSyncOptions): SyncedGradients {
  const { transport, replicas, touched, sharedSum, wirePrecision, loss, wantsEnd, snapshot } = options;
  const { shared, expert } = options.parameters;
  sharedSum.finish();
  const ofExperts = touched === null ? trainedGradients(expert) : expert.gradients;
  if (replicas.length > 1 && ofExperts.length > 0)
    inOneArray(ofExperts, touched, (data) =>
      allReduce(transport, { data, group: replicas, purpose: 'expert gradients', wirePrecision }),
    );
  // The experts' norm and the flags share one small message a step.
  const totals = Float32Array.of(
    squaredNorm(expert, touched) / replicas.length,
    transport.stopRequested ? 1 : 0,
    wantsEnd ? 1 : 0,
    Number.isFinite(loss) ? 0 : 1,
    snapshot.refusals,
    snapshot.cost,
  );
  allReduce(transport, { data: totals, purpose: 'gradient norm' });
  return {
    norm: Math.sqrt(squaredNorm(shared) + totals[0]),
    stopAsked: totals[1] > 0,
    endAsked: totals[2] > 0,
    numBadLosses: totals[3],
    snapshot: { refusals: totals[4], cost: totals[5] },
  };
}

/** Changes these ranges of an array, joined to one, or all of it. */
function inOneArray(
  values: Float32Array,
  ranges: readonly ParameterRange[] | null,
  change: (values: Float32Array) => void,
): void {
  if (ranges === null) {
    change(values);
    return;
  }
  const places = ranges.map(({ begin, end }) => values.subarray(begin, end));
  const joined = new Float32Array(places.reduce((sum, { length }) => sum + length, 0));
  const parts = places.map((place, i) => {
    const begin = places.slice(0, i).reduce((sum, { length }) => sum + length, 0);
    return joined.subarray(begin, begin + place.length);
  });
  parts.forEach((part, i) => void part.set(places[i]));
  change(joined);
  places.forEach((place, i) => void place.set(parts[i]));
}
