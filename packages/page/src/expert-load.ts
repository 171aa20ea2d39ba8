import type { GlobalLayer } from 'locmoe/run/global-step';
import type { ExpertsReply } from './api-types.js';

const MAX_BUCKETS = 256;

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

  reply(): ExpertsReply {
    const first = this.#firstStep;
    const numBuckets = this.#kept[0]?.length ?? 0;
    const edges =
      first === null ? [] : Array.from({ length: numBuckets }, (_, bucket) => first + bucket * this.#width);
    return {
      layers: this.#layers,
      numExperts: this.#numExperts,
      edges: first === null ? [] : [...edges, this.#lastStep + 1],
      kept: this.#kept,
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
