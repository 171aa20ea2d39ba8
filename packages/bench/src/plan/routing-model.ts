import type { Choice } from 'locmoe/internal/architecture/rule';
import { nodeOf, topologyOf } from 'locmoe/internal/collectives/topology';
import { type RunConfig, sparseLayersOf } from 'locmoe/internal/config/schema';
import { PLAIN_RULE } from 'locmoe/internal/model/router-work';
import { countBytes } from 'locmoe/internal/routing/capacity/gather-counts';
import { placementOf } from 'locmoe/internal/routing/groups/expert-placement';
import { expertsOfDomain, heldExperts, routerPolicy } from 'locmoe/internal/routing/index';
import { scoreBytes } from 'locmoe/internal/routing/selection/gather-scores';
import { homeRanksOfDomain } from 'locmoe/internal/worker/home-ranks';
import { sum } from '../statistics.js';

/** Assumptions about a router that a configuration does not determine. */
export interface RoutingAssumption {
  /** Kept choices per token: 1 if every token goes to one expert and none is dropped. */
  readonly keptPerToken: number;
  /** Share of rows bound for another node that the router redirects to an expert on the token's own node. */
  readonly localGain: number;
  /** Rows of the busiest rank divided by those of the mean rank, before drops. */
  readonly imbalance: number;
  /** Destinations of the kept choices if known; otherwise they follow from the layout. */
  readonly tiers?: TierShares;
  /** Where the figures come from, for readers. */
  readonly source: string;
}

/** Destinations of the kept choices of a mean rank; the shares add up to 1. */
export interface TierShares {
  readonly sameWorker: number;
  readonly sameNode: number;
  readonly otherNode: number;
}

/**
 * Even load: every expert of a domain's group gets equally many tokens; drops by capacity are not
 * predictable.
 */
export const UNIFORM: RoutingAssumption = {
  keptPerToken: 1,
  localGain: 0,
  imbalance: 1,
  source: 'assumed: an even load, every choice kept',
};

/** Returns the configuration with the router of most steps: once choices become a table, the router is a `hash`. */
export function workingConfig(config: RunConfig): RunConfig {
  const { moe, train } = config;
  const isTable = moe.tableAfter > 0 && 2 * moe.tableAfter < train.steps;
  return isTable ? { ...config, moe: { ...moe, router: 'hash', expertsPerToken: 1, lookBack: 0 } } : config;
}

/** Describes what the choices of a router cost outside TensorFlow. */
interface ChoiceCosts {
  /** Maximum number of choices of a token. */
  readonly numChoices: number;
  /** Candidates per token in an expert choice, which every rank computes over the tokens of all ranks; 0 without expert choice. */
  readonly numCandidates: number;
  /** Time of the choice, in ns per token, if the calibration has not measured the router. */
  readonly hostNs: number;
  /** Bytes that a rank sends to each other rank before the dispatch. */
  readonly gathered: { readonly purpose: 'counts' | 'scores'; readonly bytes: number };
}

/** Returns the costs of the configured router's choices by its rule, or by the plain one. */
export function choiceCosts(config: RunConfig): ChoiceCosts {
  const { moe, model } = config;
  const policy = routerPolicy(moe.router);
  const { choose, keep } = policy.rule(moe, model.dModel) ?? PLAIN_RULE;
  const { numShared } = policy.hints?.(moe) ?? {};
  const numChoices = numChoicesOf(choose);
  // Experts choose in training also where they keep all candidates outside it.
  const expertsChoose = keep !== null || choose.op === 'topP';
  return {
    numChoices,
    numCandidates: expertsChoose ? numChoices : 0,
    // TensorFlow finds the best expert of a token; a loop finds several. A table needs no search.
    hostNs: (choose.op === 'table' ? 0 : 10 * moe.numExperts * (numChoices - 1)) + (expertsChoose ? 1000 : 0),
    gathered: expertsChoose
      ? { purpose: 'scores', bytes: scoreBytes(tokensPerRank(config) * numChoices, numShared) }
      : { purpose: 'counts', bytes: countBytes(moe.numExperts, numShared) },
  };
}

/** Returns the maximum number of choices of a token. */
export function numChoicesOf(choose: Choice): number {
  return choose.op === 'table' ? choose.tables.length : choose.count;
}

export function tokensPerRank({ train, model, cluster }: RunConfig): number {
  return (train.globalBatch * model.seqLen) / (cluster.nodes * cluster.workersPerNode);
}

/** Assumes an even load, and that the experts fill up where they choose; a router's hint goes before. */
export function assumptionOf(config: RunConfig): RoutingAssumption {
  const { moe } = config;
  const { numChoices, numCandidates } = choiceCosts(config);
  const kept = routerPolicy(moe.router).hints?.(moe).kept;
  const isFilled = numCandidates > 0 && moe.capacityFactor !== null;
  const most = isFilled ? Math.min(numChoices, moe.capacityFactor) : numChoices;
  const source = kept?.source ?? (isFilled ? 'moe.capacityFactor, as experts fill up' : null);
  return {
    ...UNIFORM,
    keptPerToken: Math.min(most, kept?.perToken ?? most),
    ...(source !== null && { source: `${source}; an even load` }),
  };
}

/**
 * Returns the rows of the busiest rank divided by those of the mean rank, limited by the classic capacity of an expert.
 */
export function busiestLoad({ moe }: RunConfig, { imbalance, keptPerToken }: RoutingAssumption): number {
  if (moe.capacityFactor === null) return imbalance;
  return Math.max(1, Math.min(imbalance, moe.capacityFactor / keptPerToken));
}

/**
 * Returns the destinations of tokens: the known ones or, assuming that all experts of a domain's group are
 * equally likely, the mean over domains, ranks and sparse layers.
 */
export function tierShares(config: RunConfig, { localGain, tiers }: RoutingAssumption): TierShares {
  if (tiers !== undefined) return tiers;
  const { cluster, data, model, moe } = config;
  const worldSize = cluster.nodes * cluster.workersPerNode;
  const { first } = heldExperts(moe);
  // Without a placement all layers are alike.
  const layers = moe.placement === null ? [model.numDenseLayers] : sparseLayersOf(model);
  const placements = layers.map((layer) => placementOf(moe, worldSize, layer));
  const groups = expertsOfDomain(data.domains.length, moe);
  const homes = homeRanksOfDomain(config, topologyOf(0, cluster.nodes, cluster.workersPerNode));
  const weights = data.weights ?? groups.map(() => 1);
  const shares = { sameWorker: 0, sameNode: 0, otherNode: 0 };
  groups.forEach((group, domain) => {
    const sources = homes?.[domain] ?? Array.from({ length: worldSize }, (_, rank) => rank);
    const each = weights[domain]! / sum(weights) / sources.length / group.length / placements.length;
    for (const source of sources) {
      const here = topologyOf(source, cluster.nodes, cluster.workersPerNode);
      for (const placement of placements)
        for (const expert of group) {
          const to = placement.rankOfExpert(source, expert - first);
          if (to === source) shares.sameWorker += each;
          else if (nodeOf(here, to) === here.node) shares.sameNode += each;
          else shares.otherNode += each;
        }
    }
  });
  return stayingLocal(shares, localGain);
}

/** Distributes the rows kept on the node over its ranks in proportion to the other local rows. */
function stayingLocal({ sameWorker, sameNode, otherNode }: TierShares, localGain: number): TierShares {
  const local = sameWorker + sameNode;
  const factor = local === 0 ? 1 : 1 + (localGain * otherNode) / local;
  return {
    sameWorker: sameWorker * factor,
    sameNode: sameNode * factor,
    otherNode: 1 - local * factor,
  };
}

/**
 * Returns the share of the experts that an update changes: all or, with `train.expertUpdate: touched`, those with
 * tokens. Every expert of a domain's group is equally likely for a choice, independently of the other choices.
 */
export function touchedShare(config: RunConfig, { keptPerToken }: RoutingAssumption): number {
  const { train, data, model, moe } = config;
  if (train.expertUpdate === 'dense') return 1;
  const groups = expertsOfDomain(data.domains.length, moe);
  const weights = data.weights ?? groups.map(() => 1);
  const { first, count } = heldExperts(moe);
  const shares = Array.from({ length: count }, (_, i) => {
    const bySequence = groups.map((group, domain) => {
      const missed = (1 - 1 / group.length) ** (model.seqLen * keptPerToken);
      return group.includes(first + i) ? (weights[domain]! / sum(weights)) * (1 - missed) : 0;
    });
    return 1 - (1 - sum(bySequence)) ** train.globalBatch;
  });
  return sum(shares) / count;
}

/** Returns the number of ranks that hold replicas of the same experts. */
export function numReplicas({ moe, cluster }: RunConfig): number {
  return Math.max(1, (cluster.nodes * cluster.workersPerNode) / heldExperts(moe).count);
}
