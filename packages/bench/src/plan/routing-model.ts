import { nodeOf, topologyOf } from 'locmoe/collectives/topology';
import type { RunConfig } from 'locmoe/config/schema';
import { rankOfExpert } from 'locmoe/routing/expert-placement';
import { expertsOfDomain, type RouterName, type RouterPrice, routerPolicy } from 'locmoe/routing/index';
import { homeRanksOfDomain } from 'locmoe/worker/home-ranks';

/** What is assumed of a router: figures that a configuration does not say. */
export interface RoutingAssumption {
  /** Kept choices over tokens: 1 if every token goes to one expert and none is dropped. */
  readonly keptPerToken: number;
  /** Share of the rows bound for another node that the router brings to an expert on the token's own node instead. */
  readonly localGain: number;
  /** Rows of the busiest rank over those of the mean rank, before any is dropped. */
  readonly imbalance: number;
  /** Where the figures come from, for the reader. */
  readonly source: string;
}

/** Where the kept choices of a mean rank go; the shares add up to 1. */
export interface TierShares {
  readonly sameWorker: number;
  readonly sameNode: number;
  readonly otherNode: number;
}

/** Every expert of a domain's group takes equally many tokens; what a capacity drops is not known beforehand. */
export const UNIFORM: RoutingAssumption = {
  keptPerToken: 1,
  localGain: 0,
  imbalance: 1,
  source: 'assumed: an even load, every choice kept',
};

/** Kept choices over tokens that `locmoe bench routers` has measured. */
export type MeasuredKept = Readonly<Partial<Record<RouterName, number>>>;

/** The price of the configured router for `numTokens` tokens of a rank in one layer. */
export function routerPrice({ moe, model }: RunConfig, numTokens: number): RouterPrice {
  return routerPolicy(moe.router).price(moe, { numTokens, dModel: model.dModel });
}

export function tokensPerRank({ train, model, cluster }: RunConfig): number {
  return (train.globalBatch * model.seqLen) / (cluster.nodes * cluster.workersPerNode);
}

/** The even load; a router that keeps fewer choices than it makes says how many, unless they were measured. */
export function assumptionOf(config: RunConfig, measured: MeasuredKept): RoutingAssumption {
  const { choicesPerToken, kept } = routerPrice(config, tokensPerRank(config));
  if (kept === undefined) return { ...UNIFORM, keptPerToken: choicesPerToken };
  const keptPerToken = measured[config.moe.router];
  if (keptPerToken === undefined)
    return {
      ...UNIFORM,
      keptPerToken: kept.perToken,
      source: `${kept.source}, not measured here; an even load`,
    };
  return { ...UNIFORM, keptPerToken, source: 'tokens measured by `locmoe bench routers`; an even load' };
}

/**
 * Rows of the busiest rank over those of the mean rank: an expert takes no more than its classic capacity.
 */
export function busiestLoad({ moe }: RunConfig, { imbalance, keptPerToken }: RoutingAssumption): number {
  if (moe.capacityFactor === null) return imbalance;
  return Math.max(1, Math.min(imbalance, moe.capacityFactor / keptPerToken));
}

/** How far a token travels when the experts of its domain's group are equally likely, mean over domains and ranks. */
export function tierShares(config: RunConfig, { localGain }: RoutingAssumption): TierShares {
  const { cluster, data, moe } = config;
  const worldSize = cluster.nodes * cluster.workersPerNode;
  const groups = expertsOfDomain(data.domains.length, moe);
  const homes = homeRanksOfDomain(config, topologyOf(0, cluster.nodes, cluster.workersPerNode));
  const weights = data.weights ?? groups.map(() => 1);
  const shares = { sameWorker: 0, sameNode: 0, otherNode: 0 };
  groups.forEach((group, domain) => {
    const sources = homes?.[domain] ?? Array.from({ length: worldSize }, (_, rank) => rank);
    const each = weights[domain] / sum(weights) / sources.length / group.length;
    for (const source of sources) {
      const here = topologyOf(source, cluster.nodes, cluster.workersPerNode);
      for (const expert of group) {
        const to = rankOfExpert(moe.numExperts, worldSize, source, expert);
        if (to === source) shares.sameWorker += each;
        else if (nodeOf(here, to) === here.node) shares.sameNode += each;
        else shares.otherNode += each;
      }
    }
  });
  return stayingLocal(shares, localGain);
}

/** What stays on the node is spread over its ranks as the rest of it is. */
function stayingLocal({ sameWorker, sameNode, otherNode }: TierShares, localGain: number): TierShares {
  const local = sameWorker + sameNode;
  const factor = local === 0 ? 1 : 1 + (localGain * otherNode) / local;
  return {
    sameWorker: sameWorker * factor,
    sameNode: sameNode * factor,
    otherNode: 1 - local * factor,
  };
}

/** Ranks that hold the same experts. */
export function numReplicas({ moe, cluster }: RunConfig): number {
  return Math.max(1, (cluster.nodes * cluster.workersPerNode) / moe.numExperts);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
