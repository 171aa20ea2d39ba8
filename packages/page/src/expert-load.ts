import type { GlobalLayer } from 'locmoe/run/global-step';
import type { ExpertsReply } from './api-types.js';

const MAX_BUCKETS = 256;
/** The experts of all layers are told apart up to this many; of a larger model, those of its first layer. */
const MAX_EXPERTS = 48;

export interface ExpertsQuery {
  /** Cursor of an earlier reply of the same layers: returns only buckets that have changed. */
  readonly after?: string | undefined;
  /** Layers whose experts are told apart; undefined for as many as can be drawn well. */
  readonly layers?: readonly number[] | undefined;
}

/**
 * Load of every expert over time in bounded memory: kept choices, summed over buckets of steps. When there
 * are too many buckets, pairs are merged and the width doubles.
 */
export class ExpertLoad {
  #firstStep: number | null = null;
  #lastStep = 0;
  #width = 1;
  #layers: readonly number[] = [];
  #numExperts = 0;
  /** Shape [layers, buckets, experts]. */
  #kept: number[][][] = [];

  add(step: number, layers: readonly GlobalLayer[]): void {
    if (layers.length === 0) return;
    if (this.#firstStep === null) {
      this.#firstStep = step;
      this.#layers = layers.map(({ layer }) => layer);
      this.#numExperts = layers[0].kept.length;
      this.#kept = layers.map(() => []);
    }
    if (step < this.#firstStep) return;
    while (step - this.#firstStep >= MAX_BUCKETS * this.#width) this.#widen();
    const bucket = Math.floor((step - this.#firstStep) / this.#width);
    this.#lastStep = Math.max(this.#lastStep, step);
    for (const [index, buckets] of this.#kept.entries()) {
      while (buckets.length <= bucket) buckets.push(new Array<number>(this.#numExperts).fill(0));
      const { kept } = layers[index];
      for (let expert = 0; expert < this.#numExperts; expert++) buckets[bucket][expert] += kept[expert];
    }
  }

  /** @param epoch counts how often the run's metrics were rewritten */
  reply(epoch: number, { after, layers }: ExpertsQuery): ExpertsReply {
    const numBuckets = this.#kept[0]?.length ?? 0;
    const [knownEpoch, width, known] = (after ?? '').split('.').map(Number);
    const isKnown = knownEpoch === epoch && width === this.#width && known <= numBuckets;
    // The last known bucket may have grown.
    const firstBucket = isKnown ? Math.max(0, known - 1) : 0;
    const fewLayers =
      this.#layers.length * this.#numExperts <= MAX_EXPERTS ? this.#layers : this.#layers.slice(0, 1);
    const openLayers = this.#layers.filter((layer) => (layers ?? fewLayers).includes(layer));
    return {
      cursor: `${epoch}.${this.#width}.${numBuckets}`,
      layers: this.#layers,
      numExperts: this.#numExperts,
      firstStep: this.#firstStep,
      lastStep: this.#lastStep,
      stepsPerBucket: this.#width,
      firstBucket,
      most: this.#kept.map((buckets) => buckets.slice(firstBucket).map(mostOverFair)),
      openLayers,
      kept: openLayers.map((layer) => this.#kept[this.#layers.indexOf(layer)].slice(firstBucket)),
    };
  }

  #widen(): void {
    this.#width *= 2;
    this.#kept = this.#kept.map((buckets) =>
      Array.from({ length: Math.ceil(buckets.length / 2) }, (_, bucket) => {
        const [even, odd] = [buckets[2 * bucket], buckets[2 * bucket + 1]];
        return odd === undefined ? even : even.map((kept, expert) => kept + odd[expert]);
      }),
    );
  }
}

/** With two decimals; 0 if no choice was kept. */
function mostOverFair(kept: readonly number[]): number {
  const total = kept.reduce((sum, count) => sum + count, 0);
  return total === 0 ? 0 : Math.round((100 * Math.max(...kept) * kept.length) / total) / 100;
}
