import type { ExpertsReply } from '../../api-types.js';
import { formatCount, formatShare } from '../format.js';
import type { PageState } from '../page-state.js';

/** Returns the first and last step of a bucket. */
export function stepsOf(
  { firstStep, stepsPerBucket, lastStep }: ExpertsReply,
  bucket: number,
): readonly [number, number] {
  const from = (firstStep ?? 0) + bucket * stepsPerBucket;
  return [from, Math.min(lastStep, from + stepsPerBucket - 1)];
}

export function numBucketsOf({ most }: ExpertsReply): number {
  return most[0]?.length ?? 0;
}

/** Returns the bucket of a step, or the nearest one. */
export function bucketOf(data: ExpertsReply, step: number): number {
  const bucket = Math.floor((step - (data.firstStep ?? 0)) / data.stepsPerBucket);
  return Math.max(0, Math.min(numBucketsOf(data) - 1, bucket));
}

/** Returns each expert's load over a fair share; all 0 if no token was kept. */
export function overFair(kept: readonly number[] = []): number[] {
  const total = kept.reduce((sum, count) => sum + count, 0);
  return kept.map((count) => (total === 0 ? 0 : (count / total) * kept.length));
}

/** Returns the share of its choices that each expert dropped; 0 without choices. */
function droppedOf(routed: readonly number[] = [], kept: readonly number[] = []): number[] {
  return routed.map((count, expert) => (count === 0 ? 0 : 1 - (kept[expert] ?? 0) / count));
}

/**
 * Returns the value shown for each expert of an open layer in a bucket: its load over a fair share, or the
 * share that it dropped.
 */
export function valuesOf(
  { openLayers, routed, kept }: ExpertsReply,
  load: PageState['load'],
  layer: number,
  bucket: number,
): number[] {
  const index = openLayers.indexOf(layer);
  const [asked, taken] = [routed[index]?.[bucket], kept[index]?.[bucket]];
  if (load === 'dropped') return droppedOf(asked, taken);
  return overFair(load === 'demand' ? asked : taken);
}

/** Returns the value of a whole layer: the load of its most loaded expert, or the share that all experts dropped. */
export function valueOfLayer(
  data: ExpertsReply,
  load: PageState['load'],
  layer: number,
  bucket: number,
): number {
  const ofLayers = { demand: data.mostRouted, kept: data.most, dropped: data.dropped }[load];
  return ofLayers[data.layers.indexOf(layer)]?.[bucket] ?? 0;
}

export function formatLoad(load: PageState['load'], value: number): string {
  return load === 'dropped' ? formatShare(value) : `${value.toFixed(2)}x`;
}

/** Describes everything that is known of an expert in a bucket. */
export function describeExpert(
  { openLayers, routed, kept, numExperts }: ExpertsReply,
  { layer, expert, bucket }: { readonly layer: number; readonly expert: number; readonly bucket: number },
): string[] {
  const index = openLayers.indexOf(layer);
  const [asked, taken] = [routed[index]?.[bucket] ?? [], kept[index]?.[bucket] ?? []];
  const load = overFair(taken)[expert] ?? 0;
  return [
    `demand ${(overFair(asked)[expert] ?? 0).toFixed(2)}x a fair share: ${formatCount(asked[expert])} tokens`,
    `kept ${formatCount(taken[expert])}: ${load.toFixed(2)}x, ${formatShare(load / numExperts)} of all that were kept`,
    `dropped ${formatShare(droppedOf(asked, taken)[expert])}`,
  ];
}
