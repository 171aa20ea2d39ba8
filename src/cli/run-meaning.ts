import { locality, meanLoss } from '@locmoe/run-format';
import type { RunConfig } from '../config/schema.js';
import { rowBytesOf } from '../config/wire-precision.js';
import { formatNumberOf, formatShare, formatSize } from '../format.js';
import { rankOfExpert } from '../routing/groups/expert-placement.js';
import { heldExperts } from '../routing/index.js';
import type { RunTotals } from '../run/run-totals.js';

/** A gate counts as idle if token ids decide at least this share of its choices. */
const IDLE_FROM = 0.95;
/** A gate is not idle if more than this share of tokens go to its first choice: halfway between chance with two experts and 1. */
const DECIDES_FROM = 0.75;
/** Shares of crossing choices that differ by less than this count as equal. */
const NO_DIFFERENCE = 0.005;

type Locality = NonNullable<ReturnType<typeof locality>>;

type Totals = Pick<
  RunTotals,
  'layers' | 'countedSteps' | 'tokens' | 'lastLayers' | 'lastChoices' | 'lastValidation'
>;

/** Facts beside the totals that `meaningOf` needs. */
export interface RunContext {
  readonly config: RunConfig;
  readonly resumedFrom: number | null;
  /** Entropy of the unigram distribution of each domain's validation text, in nats per token, by name. */
  readonly unigrams: ReadonlyMap<string, number>;
  /** Loss of the last validation with experts drawn at random; null if it was not computed. */
  readonly randomLoss: number | null;
}

/** Explains the results of a run in sentences, which its terminal and its page show. */
export function meaningOf(totals: Totals, context: RunContext): string[] {
  const isDense = context.config.model.numSparseLayers === 0;
  return [
    isDense ? 'The model has no sparse layer, so no token chooses an expert.' : placesOf(totals, context),
    savingsOf(totals, context),
    decisionOf(totals.lastChoices),
    perplexityOf(totals, context),
    context.randomLoss !== null &&
      `The same model with experts drawn at random, for which it was not trained, has ${perplexity(context.randomLoss)}.`,
  ].filter((sentence) => typeof sentence === 'string');
}

/**
 * Returns how far choices would travel if each were a random expert of all. `moe.placement` does not matter, as the tokens of
 * every rank are equally many.
 */
export function chanceOf({ moe, cluster }: Pick<RunConfig, 'moe' | 'cluster'>): Locality {
  const worldSize = cluster.nodes * cluster.workersPerNode;
  const numExperts = heldExperts(moe).count;
  const nodeOf = (rank: number) => Math.floor(rank / cluster.workersPerNode);
  const counts = { sameWorker: 0, sameNode: 0, otherNode: 0 };
  for (let from = 0; from < worldSize; from++)
    for (let expert = 0; expert < numExperts; expert++) {
      const to = rankOfExpert(numExperts, worldSize, from, expert);
      counts[to === from ? 'sameWorker' : nodeOf(to) === nodeOf(from) ? 'sameNode' : 'otherNode']++;
    }
  return locality([counts])!;
}

function placesOf(
  { layers, tokens, lastLayers }: Totals,
  { config, resumedFrom }: RunContext,
): string | null {
  const { nodes, workersPerNode } = config.cluster;
  const shares = locality(layers);
  if (shares === null) return null;
  if (nodes * workersPerNode === 1) return 'One worker holds all experts, so every token stays on it.';
  const [actual, chance] = [ofHundred(shares), ofHundred(chanceOf(config))];
  const last = ofHundred(locality(lastLayers) ?? shares);
  const places = ['stayed on their worker', 'went to another worker of the node', 'crossed to another node'];
  const exists = [true, workersPerNode > 1, nodes > 1];
  const list = (items: readonly unknown[]) =>
    new Intl.ListFormat('en').format(items.filter((_, tier) => exists[tier]).map(String));
  const since = resumedFrom === null ? '' : ` after step ${resumedFrom}`;
  const of = `Of 100 choices of an expert${since} (${twoDigits(numKept(layers) / tokens / layers.length)} for each token in a sparse layer)`;
  return `${of}, ${list(places.map((place, tier) => `${actual[tier]} ${place}`))}; in the last step ${list(last)}. A random expert of all would give ${list(chance)}.`;
}

function numKept(layers: Totals['layers']): number {
  return layers.flatMap(({ kept }) => kept).reduce((sum, each) => sum + each, 0);
}

function twoDigits(value: number): number {
  return Number(value.toPrecision(2));
}

/** Rounds shares to counts that add up to 100. */
function ofHundred({ sameWorker, sameNode }: Locality): number[] {
  const first = Math.round(100 * sameWorker);
  const second = Math.round(100 * (sameWorker + sameNode));
  return [first, second - first, 100 - second];
}

/** Compares the bytes between nodes with those of random choices. */
function savingsOf({ layers, countedSteps }: Totals, { config }: RunContext): string | null {
  const { nodes, workersPerNode, interNodeLink, deduplicate } = config.cluster;
  const shares = locality(layers);
  if (shares === null || nodes * workersPerNode === 1) return null;
  if (nodes === 1) return 'There is one node, so nothing crosses between nodes.';
  const gain = chanceOf(config).otherNode - shares.otherNode;
  if (Math.abs(gain) < NO_DIFFERENCE)
    return 'As many choices crossed as by chance, so that no bytes between nodes were saved.';
  const rowBytes = rowBytesOf(config);
  // The row of a choice moves four times: out and back, forward and backward.
  const bytes = Math.abs(gain) * numKept(layers) * 4 * rowBytes;
  // Each node sends its part at the same time as the others.
  const at = (gbps: number, name: string) => {
    const seconds = (8 * bytes) / nodes / (1e9 * gbps);
    return `${twoDigits((1e3 * seconds) / countedSteps)} ms a step and ${twoDigits(seconds)} s in all ${name}`;
  };
  // The configured limit is that of each stream to another node.
  const own =
    interNodeLink && `${at(interNodeLink.gbps * (nodes - 1), "on this run's cluster.interNodeLink")}, `;
  const saved = `${gain > 0 ? 'saved' : 'cost'} ${formatSize(bytes / countedSteps)} between nodes a step, ${formatSize(bytes)} in ${formatNumberOf(countedSteps, 'step')}`;
  const estimate = `estimate: a choice moves ${rowBytes} bytes four times${deduplicate ? ', without cluster.deduplicate' : ''}`;
  return `Against random choices that ${saved}: ${own ?? ''}${at(1, 'at 1 Gb/s for each node')} (${estimate}).`;
}

/** Says how far choices are those of the token's id. */
function decisionOf({ idShare, gateShare }: RunTotals['lastChoices']): string | null {
  if (idShare === undefined) return null;
  const asBefore = `${formatShare(idShare)} of the last step's choices were those of the last token with the same id and domain`;
  if (gateShare === undefined) return `No gate decides: ${asBefore}.`;
  if (isGateIdle({ idShare, gateShare })) return `The gate is nearly idle: ${asBefore}.`;
  return idShare < IDLE_FROM
    ? `${asBefore}; the others depended on more than the id.`
    : `${asBefore}, yet ${formatShare(gateShare)} of the tokens had the gate's own first expert, so that the gate may decide.`;
}

/** Tells whether a gate decides almost nothing, as token ids do; false without a gate. */
export function isGateIdle({ idShare = 0, gateShare = 1 }: RunTotals['lastChoices']): boolean {
  // With expert-choice every token is offered to all experts, so its choices equal the earlier ones and
  // include the gate's first one.
  return idShare >= IDLE_FROM && gateShare <= DECIDES_FROM;
}

function perplexityOf({ lastValidation }: Totals, { unigrams }: RunContext): string | null {
  if (lastValidation === null) return null;
  const { step, domains } = lastValidation;
  const frequencies = domains.map((each) => ({ ...each, loss: unigrams.get(each.domain) ?? Number.NaN }));
  const each = domains.map(
    ({ domain, loss }, i) => `${domain} ${perplexity(loss)} (${perplexity(frequencies[i]!.loss)})`,
  );
  // The model knows the domain, so the unigram of all is the mean of the domains' entropies, not the entropy of their mixture.
  const all = `${perplexity(meanLoss({ domains }))}; token frequencies alone give ${perplexity(meanLoss({ domains: frequencies }))}`;
  return `Perplexity on held-out text at step ${step}: ${all}${each.length === 1 ? '' : `; by domain: ${each.join(', ')}`}.`;
}

function perplexity(loss: number): string {
  return Math.exp(loss).toFixed(1);
}
