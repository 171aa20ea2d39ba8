import type { RankMeasures } from '@locmoe/run-format';
import type { RunConfig } from '../config/schema.js';
import type { Batch } from '../data/batch.js';
import type { RoutingInspector } from '../model/moe-layer.js';
import { rankingOf } from '../routing/choices/route-rows.js';
import type { ExpertRange } from '../routing/groups/domain-groups.js';
import { expertsOfDomain, heldExperts } from '../routing/index.js';
import type { RoutingDecision } from '../routing/router.js';

// Shapes: T tokens of this rank, E experts, K choices of a token.

/** Pairs of token id and domain that a layer remembers at a time; a new pair replaces an older one. */
const MOST_REMEMBERED = 1 << 16;
/** Tokens of a layer and micro-batch whose scores are measured, evenly spaced: the cost does not grow with the batch. */
const MOST_SCORED = 128;

/** Creates the sums over the micro-batches of a step, all zero. */
function emptySums(numExperts: number) {
  return {
    met: 0,
    asBefore: 0,
    scored: 0,
    gateFirst: 0,
    margins: 0,
    margin: 0,
    entropy: 0,
    z: 0,
    keptE: new Float64Array(numExperts),
  };
}

interface LayerState {
  /** Token id and domain that each place of `expertsOfPlace` is for, as one number; -1 for none. */
  readonly keys: Int32Array;
  /** Choices of the last token with that id and domain, row-major [places, K]; -1 for none. */
  readonly expertsOfPlace: Int16Array;
  sums: ReturnType<typeof emptySums>;
}

/**
 * Measures of what decides the choices of this rank's tokens, averaged over the sparse layers. The meter only reads decisions.
 */
export class ChoiceMeter {
  readonly #numDomains: number;
  readonly #expertsOfDomain: readonly Int32Array[];
  readonly #held: ExpertRange;
  readonly #numPlaces: number;
  readonly #layers = new Map<number, LayerState>();

  constructor({ data, moe, model }: RunConfig) {
    this.#numDomains = data.domains.length;
    this.#expertsOfDomain = expertsOfDomain(data.domains.length, moe);
    this.#held = heldExperts(moe);
    this.#numPlaces = Math.min(MOST_REMEMBERED, model.vocabSize * data.domains.length);
  }

  /** Returns the inspector of the forward pass over a micro-batch; the decisions must include scores. */
  inspectorOf(batch: Batch): RoutingInspector {
    return (layer, _, decision) => {
      const { first, count } = this.#held;
      const state = this.#layerOf(layer, decision.numChoices);
      this.#remember(state, batch, decision);
      this.#look(state.sums, batch, decision);
      for (const keptE of decision.keptOfRank)
        for (let expert = 0; expert < count; expert++) state.sums.keptE[expert]! += keptE[first + expert]!;
    };
  }

  /** Starts over if the number of choices changes, as it may with replayed choices. */
  #layerOf(layer: number, numChoices: number): LayerState {
    const known = this.#layers.get(layer);
    if (known?.expertsOfPlace.length === this.#numPlaces * numChoices) return known;
    const state = {
      keys: new Int32Array(this.#numPlaces).fill(-1),
      expertsOfPlace: new Int16Array(this.#numPlaces * numChoices),
      sums: known?.sums ?? emptySums(this.#held.count),
    };
    this.#layers.set(layer, state);
    return state;
  }

  /** Counts the choices that were among those of the last token of this rank with the same id and domain. */
  #remember({ keys, expertsOfPlace, sums }: LayerState, batch: Batch, decision: RoutingDecision): void {
    const { chosenTK, numChoices } = decision;
    const { tokenIds, domains, seqLen } = batch;
    for (let t = 0; t < tokenIds.length; t++) {
      const key = tokenIds[t]! * this.#numDomains + domains[Math.floor(t / seqLen)]!;
      const place = key % this.#numPlaces;
      const first = place * numChoices;
      const isMet = keys[place] === key;
      if (isMet)
        for (let choice = t * numChoices; choice < (t + 1) * numChoices; choice++) {
          const expert = chosenTK[choice]!;
          if (expert < 0) continue;
          sums.met++;
          for (let k = 0; k < numChoices; k++)
            if (expertsOfPlace[first + k] === expert) {
              sums.asBefore++;
              break;
            }
        }
      keys[place] = key;
      for (let k = 0; k < numChoices; k++) expertsOfPlace[first + k] = chosenTK[t * numChoices + k]!;
    }
  }

  /** Measures the scores of evenly spaced tokens. */
  #look(sums: LayerState['sums'], { domains, seqLen, tokenIds }: Batch, decision: RoutingDecision): void {
    const { scores, chosenTK, numChoices, keptE } = decision;
    if (scores === undefined) return;
    const numTokens = tokenIds.length;
    const numScored = Math.min(numTokens, MOST_SCORED);
    for (let i = 0; i < numScored; i++) {
      const t = Math.floor((i * numTokens) / numScored);
      const open = this.#expertsOfDomain[domains[Math.floor(t / seqLen)]!]!;
      const { gateExpert, margin, entropy, logSum } = rankingOf(scores, t, keptE.length, open);
      sums.scored++;
      if (chosenTK.subarray(t * numChoices, (t + 1) * numChoices).includes(gateExpert)) sums.gateFirst++;
      sums.entropy += entropy;
      sums.z += logSum ** 2;
      if (margin === null) continue;
      sums.margins++;
      sums.margin += margin;
    }
  }

  /** Returns the measures of the passes since the last call. */
  take(): RankMeasures {
    const ofLayers = [...this.#layers.values()].map(({ sums }) => sums);
    for (const layer of this.#layers.values()) layer.sums = emptySums(layer.sums.keptE.length);
    const loads = ofLayers.flatMap(({ keptE }) => loadOf(keptE) ?? []);
    const entries: [keyof RankMeasures, (number | null)[]][] = [
      ['idShare', ofLayers.map(({ asBefore, met }) => ratio(asBefore, met))],
      ['gateShare', ofLayers.map(({ gateFirst, scored }) => ratio(gateFirst, scored))],
      ['margin', ofLayers.map(({ margin, margins }) => ratio(margin, margins))],
      ['gateEntropy', ofLayers.map(({ entropy, scored }) => ratio(entropy, scored))],
      ['routerZ', ofLayers.map(({ z, scored }) => ratio(z, scored))],
      ['loadImbalance', loads.map(({ max }) => max)],
      ['loadP10', loads.map(({ p10 }) => p10)],
      ['loadP50', loads.map(({ p50 }) => p50)],
      ['loadP90', loads.map(({ p90 }) => p90)],
    ];
    return Object.fromEntries(
      entries.flatMap(([name, values]) => {
        const known = values.filter((value) => value !== null);
        if (known.length === 0) return [];
        return [[name, known.reduce((sum, value) => sum + value, 0) / known.length]];
      }),
    );
  }
}

function ratio(sum: number, count: number): number | null {
  return count === 0 ? null : sum / count;
}

/** Computes percentiles over the experts of load relative to the mean load; null if no choice was kept. */
function loadOf(keptE: Float64Array) {
  const total = keptE.reduce((sum, kept) => sum + kept, 0);
  if (total === 0) return null;
  const sorted = keptE.toSorted();
  const percentile = (share: number) =>
    (sorted[Math.floor(share * (sorted.length - 1))]! * sorted.length) / total;
  return { p10: percentile(0.1), p50: percentile(0.5), p90: percentile(0.9), max: percentile(1) };
}
