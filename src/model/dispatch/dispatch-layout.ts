import type * as tf from '@tensorflow/tfjs-node';
import { hashCounts } from '../../collectives/all-to-all.js';
import type { Topology } from '../../collectives/topology.js';
import { nodeOf } from '../../collectives/topology.js';
import type { RowScatter } from '../../ops/operations.js';
import type { Placement } from '../../routing/groups/expert-placement.js';
import type { RoutingDecision } from '../../routing/router.js';
import { type AllToAllRowsOptions, allToAllRows, type RowLayout, type RowRange } from './all-to-all-rows.js';

// Shapes: T tokens of this rank, K choices of a token, E experts, N choices kept here, R rows received, d hidden size.

/** The rows that this rank's kept choices send, and the rows that its experts receive. */
export interface DispatchLayout {
  /** Kept choices sorted by global expert id, then by token. */
  readonly scatter: RowScatter;
  /** The ranges of a rank are in the order of its experts. */
  readonly sent: RowLayout;
  /** Rows received, by local expert, then by source rank, then by token of the source. */
  readonly received: RowLayout;
  /** Rows of each local expert, in the order of `expertsOfRank`; their sum is `received.numRows`. */
  readonly rowsOfLocalExpert: readonly number[];
  /** Hash of the kept choices per expert of all ranks. */
  readonly countsHash: number;
}

/** The part of a decision that determines the layout. */
export type KeptChoices = Pick<RoutingDecision, 'expertsTK' | 'numChoices' | 'keptE'>;

/** @param keptOfRank choices kept per expert (length E) of every rank */
export function dispatchLayout(
  decision: KeptChoices,
  topology: Topology,
  placement: Placement,
  keptOfRank: readonly Int32Array[],
): DispatchLayout {
  const { rank, worldSize } = topology;
  const rangesToRank = Array.from({ length: worldSize }, () => [] as RowRange[]);
  let sorted = 0;
  decision.keptE.forEach((count, expert) => {
    rangesToRank[placement.rankOfExpert(rank, expert)]!.push({ begin: sorted, count });
    sorted += count;
  });

  const rangesFromRank = keptOfRank.map(() => [] as RowRange[]);
  let begin = 0;
  const rowsOfLocalExpert = placement.expertsOfRank(rank).map((expert) => {
    const first = begin;
    keptOfRank.forEach((keptE, source) => {
      if (placement.rankOfExpert(source, expert) !== rank) return;
      rangesFromRank[source]!.push({ begin, count: keptE[expert]! });
      begin += keptE[expert]!;
    });
    return begin - first;
  });
  const scatter = sortByExpert(decision);
  return {
    scatter,
    sent: { numRows: scatter.tokensN.length, rangesOfRank: rangesToRank },
    received: { numRows: begin, rangesOfRank: rangesFromRank },
    rowsOfLocalExpert,
    countsHash: hashCounts(keptOfRank),
  };
}

/** Sorts the kept choices by expert (counting sort), stable by token. */
function sortByExpert({ expertsTK, numChoices, keptE }: KeptChoices): RowScatter {
  const next = new Int32Array(keptE.length);
  for (let expert = 1; expert < keptE.length; expert++) next[expert] = next[expert - 1]! + keptE[expert - 1]!;
  const numKept = keptE.reduce((sum, kept) => sum + kept, 0);
  const tokensN = new Int32Array(numKept);
  const choicesN = new Int32Array(numKept);
  expertsTK.forEach((expert, choice) => {
    if (expert < 0) return;
    const row = next[expert]!++;
    tokensN[row] = Math.floor(choice / numChoices);
    choicesN[row] = choice;
  });
  return { numTokens: expertsTK.length / numChoices, tokensN, choicesN };
}

/** Returns the kept choices of this rank by the place of their expert. @param keptE the same by expert, length E */
export function localityOf(keptE: Int32Array, topology: Topology, placement: Placement) {
  const { rank, node } = topology;
  const locality = { sameWorker: 0, sameNode: 0, otherNode: 0 };
  keptE.forEach((kept, expert) => {
    const to = placement.rankOfExpert(rank, expert);
    if (to === rank) locality.sameWorker += kept;
    else if (nodeOf(topology, to) === node) locality.sameNode += kept;
    else locality.otherNode += kept;
  });
  return locality;
}

type RowsContext = Pick<AllToAllRowsOptions, 'communicator' | 'layer' | 'reach'>;

/** Sends each kept choice's row to its expert: [N, d] -> [R, d], grouped by local expert. */
export function dispatch(rowsND: tf.Tensor2D, layout: DispatchLayout, context: RowsContext): tf.Tensor2D {
  return allToAllRows(rowsND, {
    ...context,
    from: layout.sent,
    to: layout.received,
    countsHash: layout.countsHash,
    purpose: { forward: 'dispatch', backward: 'dispatch gradient' },
  });
}

/** Returns expert outputs to their tokens' rank: [R, d] -> [N, d], in the order of the kept choices. */
export function combine(rowsRD: tf.Tensor2D, layout: DispatchLayout, context: RowsContext): tf.Tensor2D {
  return allToAllRows(rowsRD, {
    ...context,
    from: layout.received,
    to: layout.sent,
    countsHash: layout.countsHash,
    purpose: { forward: 'combine', backward: 'combine gradient' },
  });
}
