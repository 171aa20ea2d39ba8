import type { RouteLink, RouteTable } from '@locmoe/run-format/routes-file';
import { nodeOf, type Topology } from '../../collectives/topology.js';
import { heldExperts } from '../groups/domain-groups.js';
import { type Placement, placementOf } from '../groups/expert-placement.js';
import type { MoeConfig } from '../moe-config.js';
import type { GateScores, RoutingDecision } from '../router.js';
import { choiceReader, scoreOf } from './routed-choice.js';

// Shapes: T tokens of this rank, S positions of a sequence, E experts, K choices of a token.

/** A sequence whose routes are recorded. */
export interface RouteSequence {
  /** Row in the batch. */
  readonly row: number;
  /** Index in the global batch, or in the text. */
  readonly sequence: number;
  readonly domain: string;
  /** Global ids of the experts that are open to its domain. */
  readonly openExperts: Int32Array;
  /** Number of tokens to record, from the first of the sequence; the others are padding. */
  readonly length: number;
  /** Index of the document of each token, length S. */
  readonly documents: ArrayLike<number>;
}

export interface RoutedBatch {
  readonly step: number;
  readonly layer: number;
  readonly moe: MoeConfig;
  readonly topology: Topology;
  readonly sequences: readonly RouteSequence[];
  readonly seqLen: number;
  /** Vocabulary id of each token of the batch, length T. */
  readonly tokenIdsT: Int32Array;
  /** Position of each token in its sample, length T; undefined if each sequence is one text. */
  readonly positionsT: Int32Array | undefined;
  /** Bytes of a token's activations when they are sent to another rank. */
  readonly rowBytes: number;
}

/** Adds one row for each choice of the recorded sequences. */
export function addRoutes(table: RouteTable, batch: RoutedBatch, decision: RoutingDecision): void {
  const { topology, layer, step, seqLen } = batch;
  const numExperts = decision.keptE.length;
  const choicesOf = choiceReader(decision);
  const { first, count } = heldExperts(batch.moe);
  const placement = placementOf(batch.moe, topology.worldSize, layer);
  const places = Array.from({ length: count }, (_, i) => placeOf(i, placement, topology));
  for (const { row, sequence, domain, openExperts, length, documents } of batch.sequences)
    for (let position = 0; position < length; position++) {
      const t = row * seqLen + position;
      const ranking = decision.scores && rankingOf(decision.scores, t, numExperts, openExperts);
      for (const { choice, expert, weight, outcome, score } of choicesOf(t)) {
        const { rank, node, link } = places[expert - first]!;
        table.step.push(step);
        table.rank.push(topology.rank);
        table.node.push(topology.node);
        table.layer.push(layer);
        table.sequence.push(sequence);
        table.domain.push(domain);
        table.document.push(documents[position]!);
        table.position.push(batch.positionsT?.[t] ?? position);
        table.token.push(batch.tokenIdsT[t]!);
        table.choice.push(choice);
        table.expert.push(expert);
        table.expertRank.push(rank);
        table.expertNode.push(node);
        table.gate.push(score?.gate ?? null);
        table.bias.push(score?.bias ?? null);
        table.preference.push(score?.preference ?? null);
        table.score.push(score?.sum ?? null);
        table.margin.push(ranking?.margin ?? null);
        table.gateExpert.push(ranking?.gateExpert ?? null);
        table.entropy.push(ranking?.entropy ?? null);
        table.logSum.push(ranking?.logSum ?? null);
        table.weight.push(weight);
        table.outcome.push(outcome);
        table.link.push(link);
        table.bytes.push(outcome === 'kept' && link !== 'rank' ? batch.rowBytes : 0);
      }
    }
}

interface Place {
  readonly rank: number;
  readonly node: number;
  readonly link: RouteLink;
}

/** Returns the place of an expert as seen from this rank; experts are numbered from the first that the model has. */
function placeOf(expert: number, placement: Placement, topology: Topology): Place {
  const rank = placement.rankOfExpert(topology.rank, expert);
  const node = nodeOf(topology, rank);
  const link = rank === topology.rank ? 'rank' : node === topology.node ? 'node' : 'network';
  return { rank, node, link };
}

/** Ranks the open experts of a token; ties go to the lower id. */
export function rankingOf(scores: GateScores, t: number, numExperts: number, openExperts: Int32Array) {
  let gateExpert = openExperts[0]!;
  let bestGate = Number.NEGATIVE_INFINITY;
  let best = Number.NEGATIVE_INFINITY;
  let second = Number.NEGATIVE_INFINITY;
  for (const expert of openExperts) {
    const { gate, sum } = scoreOf(scores, t, numExperts, expert);
    if (gate > bestGate) {
      bestGate = gate;
      gateExpert = expert;
    }
    if (sum > best) {
      second = best;
      best = sum;
    } else if (sum > second) second = sum;
  }
  const margin = openExperts.length > 1 ? best - second : null;
  return { gateExpert, margin, ...softmaxOf(scores, t, numExperts, openExperts, bestGate) };
}

/** Returns entropy and log-sum-exp of the gate over a token's open experts, whose greatest score is `most`. */
function softmaxOf(
  { gateTE }: GateScores,
  t: number,
  numExperts: number,
  openExperts: Int32Array,
  most: number,
) {
  let sum = 0;
  let moment = 0;
  for (const expert of openExperts) {
    const above = gateTE[t * numExperts + expert]! - most;
    sum += Math.exp(above);
    moment += above * Math.exp(above);
  }
  return { entropy: Math.log(sum) - moment / sum, logSum: most + Math.log(sum) };
}
