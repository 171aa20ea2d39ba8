import type { GlobalLayer, GlobalStep } from '@locmoe/run-format';
import type { ExpertsReply } from './api-types.js';
import { type LinkFrame, LinkLoad } from './link-load.js';

const MAX_BUCKETS = 256;
/**
 * Experts of all layers are reported individually up to this many; for a larger model, only those of its
 * first layer.
 */
const MAX_EXPERTS = 48;

export interface ExpertsQuery {
  /** Cursor of an earlier reply for the same layers; only buckets that have changed are returned. */
  readonly after?: string | undefined;
  /** Layers whose experts are reported individually; undefined for as many as can be drawn well. */
  readonly layers?: readonly number[] | undefined;
}

/** The state without the counts, as JSON. */
interface Frame {
  firstStep: number | null;
  lastStep: number;
  /** Steps per bucket. */
  width: number;
  numBuckets: number;
  layers: readonly number[];
  numExperts: number;
}

/** Two counts for each expert: the choices that fell on it, and those that it kept. */
const COUNTS = ['routed', 'kept'] as const;
type Count = (typeof COUNTS)[number];

/**
 * Demand and load of every expert over time in bounded memory: choices, summed over buckets of steps. When
 * there are too many buckets, pairs are merged and the width doubles.
 */
export class ExpertLoad {
  #frame: Frame = { firstStep: null, lastStep: 0, width: 1, numBuckets: 0, layers: [], numExperts: 0 };
  /** Sums of the counts, shape [counts, layers, MAX_BUCKETS, experts]. */
  #sums = new Float64Array(0);
  readonly #links = new LinkLoad(MAX_BUCKETS);

  add(step: number, layers: readonly GlobalLayer[], links?: GlobalStep['links']): void {
    if (layers.length === 0) return;
    const frame = this.#frame;
    if (frame.firstStep === null) {
      frame.firstStep = step;
      frame.layers = layers.map(({ layer }) => layer);
      frame.numExperts = layers[0]!.kept.length;
      this.#sums = new Float64Array(COUNTS.length * layers.length * MAX_BUCKETS * frame.numExperts);
    }
    if (step < frame.firstStep) return;
    while (step - frame.firstStep >= MAX_BUCKETS * frame.width) this.#widen();
    const bucket = Math.floor((step - frame.firstStep) / frame.width);
    frame.lastStep = Math.max(frame.lastStep, step);
    frame.numBuckets = Math.max(frame.numBuckets, bucket + 1);
    if (links !== undefined) this.#links.add(bucket, links);
    for (const count of COUNTS)
      for (let index = 0; index < frame.layers.length; index++) {
        const sums = this.#sumsOf(count, index, bucket);
        const counted = layers[index]?.[count] ?? [];
        for (let expert = 0; expert < sums.length; expert++) sums[expert]! += counted[expert] ?? 0;
      }
  }

  /** @param epoch counts how often the run's metrics were rewritten */
  reply(epoch: number, { after, layers: wanted }: ExpertsQuery): ExpertsReply {
    const { layers, numBuckets, width, numExperts, firstStep, lastStep } = this.#frame;
    const [knownEpoch, knownWidth, known = 0] = (after ?? '').split('.').map(Number);
    const isKnown = knownEpoch === epoch && knownWidth === width && known <= numBuckets;
    // The last known bucket may have grown.
    const firstBucket = isKnown ? Math.max(0, known - 1) : 0;
    const fewLayers = layers.length * numExperts <= MAX_EXPERTS ? layers : layers.slice(0, 1);
    const openLayers = layers.filter((layer) => (wanted ?? fewLayers).includes(layer));
    const buckets = Array.from({ length: numBuckets - firstBucket }, (_, index) => firstBucket + index);
    type Value<T> = (routed: Float64Array, kept: Float64Array) => T;
    const ofLayers = <T>(layersOf: readonly number[], value: Value<T>) =>
      layersOf.map((layer) => {
        const index = layers.indexOf(layer);
        const sumsOf = (count: Count, bucket: number) => this.#sumsOf(count, index, bucket);
        return buckets.map((bucket) => value(sumsOf('routed', bucket), sumsOf('kept', bucket)));
      });
    return {
      cursor: `${epoch}.${width}.${numBuckets}`,
      layers,
      numExperts,
      firstStep,
      lastStep,
      stepsPerBucket: width,
      firstBucket,
      most: ofLayers(layers, (_, kept) => mostOverFair(kept)),
      mostRouted: ofLayers(layers, mostOverFair),
      dropped: ofLayers(layers, droppedShare),
      openLayers,
      kept: ofLayers(openLayers, (_, kept) => [...kept]),
      routed: ofLayers(openLayers, (routed) => [...routed]),
      links: this.#links.reply(buckets),
    };
  }

  /** Returns the state for `restore`: JSON and bytes. */
  save(): { readonly frame: object; readonly bytes: Buffer } {
    const { buffer, byteOffset, byteLength } = this.#sums;
    const links = this.#links.save();
    const counts = Buffer.from(buffer, byteOffset, byteLength);
    return { frame: { ...this.#frame, links: links.frame }, bytes: Buffer.concat([counts, links.bytes]) };
  }

  restore(frame: object, bytes: Buffer): void {
    const { links, ...own } = frame as Frame & { readonly links: LinkFrame };
    this.#frame = own;
    this.#sums = new Float64Array(COUNTS.length * own.layers.length * MAX_BUCKETS * own.numExperts);
    bytes.copy(Buffer.from(this.#sums.buffer));
    this.#links.restore(links, bytes.subarray(this.#sums.byteLength));
  }

  /** Returns the sums of all experts of a layer in a bucket, as a view. */
  #sumsOf(count: Count, layer: number, bucket: number): Float64Array {
    const { layers, numExperts } = this.#frame;
    const row = (COUNTS.indexOf(count) * layers.length + layer) * MAX_BUCKETS + bucket;
    return this.#sums.subarray(row * numExperts, (row + 1) * numExperts);
  }

  #widen(): void {
    const frame = this.#frame;
    frame.width *= 2;
    const numAfter = Math.ceil(frame.numBuckets / 2);
    for (const count of COUNTS)
      for (let layer = 0; layer < frame.layers.length; layer++)
        for (let bucket = 0; bucket < MAX_BUCKETS; bucket++) {
          const sums = this.#sumsOf(count, layer, bucket);
          if (bucket >= numAfter) {
            sums.fill(0);
            continue;
          }
          const even = this.#sumsOf(count, layer, 2 * bucket);
          const odd = this.#sumsOf(count, layer, 2 * bucket + 1);
          for (let expert = 0; expert < sums.length; expert++) sums[expert] = even[expert]! + odd[expert]!;
        }
    this.#links.widen(numAfter);
    frame.numBuckets = numAfter;
  }
}

function sumOf(counts: Float64Array): number {
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Returns the greatest load relative to a fair one, with two decimals; 0 if there was no choice. */
function mostOverFair(counts: Float64Array): number {
  const total = sumOf(counts);
  return total === 0 ? 0 : Math.round((100 * Math.max(...counts) * counts.length) / total) / 100;
}

/** Returns the share of choices that were dropped, with three decimals; 0 if there was no choice. */
function droppedShare(routed: Float64Array, kept: Float64Array): number {
  const total = sumOf(routed);
  return total === 0 ? 0 : Math.round(1_000 * (1 - sumOf(kept) / total)) / 1_000;
}
