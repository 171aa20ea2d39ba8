import { z } from 'zod';
import type { DeepReadonly } from './deep-readonly.js';
import { linkBytes } from './row-traffic.js';
import { stepMeasures } from './step-measures.js';

/** Parts of a step's time, which add up to the step except for gaps between them. */
export const STEP_PARTS = ['forward', 'backward', 'exchange', 'allReduce', 'optimizer', 'waiting'] as const;
export type StepPart = (typeof STEP_PARTS)[number];

const count = z.int().nonnegative();
const byExpert = z.array(count);

const globalLayer = z.object({
  layer: count,
  /** Kept, over capacity and not chosen add up to routed. */
  routed: byExpert,
  kept: byExpert,
  overCapacity: byExpert,
  notChosen: byExpert,
  sameWorker: count,
  sameNode: count,
  otherNode: count,
  /** Bytes of activations by the distance that they travelled in the forward pass, in both directions. */
  bytes: z.object({ sameWorker: count, sameNode: count, otherNode: count }),
  /** Capacity by expert; 0 if it is unlimited. */
  capacity: z.array(z.number()),
  /**
   * Mean capacity divided by that of Switch with the run's capacity factor; null if capacity is unlimited.
   */
  capacityRatio: z.number().nullable(),
  /** Mean cosine between tokens and the gates of their experts; null if experts have no gate vector. */
  gateCosine: z.number().nullable(),
});
/** A sparse layer in one step, summed over ranks: the choices of tokens by expert, or by distance. */
export type GlobalLayer = DeepReadonly<z.output<typeof globalLayer>>;

export const globalStep = z.object({
  step: count,
  ...stepMeasures.shape,
  /** Time of each part, mean over ranks. */
  partsMs: z.record(z.enum(STEP_PARTS), z.number()),
  /** Sparse layers; empty for a skipped step. */
  layers: z.array(globalLayer),
  /** Bytes by link; absent with one rank, without sparse layers, and in runs of version 0.1.0. */
  links: linkBytes.exactOptional(),
});
/** One step of the whole run, combined from the reports of all ranks. */
export type GlobalStep = DeepReadonly<z.output<typeof globalStep>>;

/** Returns shares of the kept tokens by the distance that they travelled, over all layers; null if none were kept. */
export function locality(
  layers: readonly GlobalLayer[],
): { sameWorker: number; sameNode: number; otherNode: number } | null {
  const sum = (of: (layer: GlobalLayer) => number) => layers.reduce((total, layer) => total + of(layer), 0);
  const total = sum((layer) => layer.sameWorker + layer.sameNode + layer.otherNode);
  if (total === 0) return null;
  return {
    sameWorker: sum((layer) => layer.sameWorker) / total,
    sameNode: sum((layer) => layer.sameNode) / total,
    otherNode: sum((layer) => layer.otherNode) / total,
  };
}

/**
 * Returns the mean number of experts that compute a token, over the tokens and the sparse layers; null
 * without sparse layers.
 */
export function expertsPerToken({ layers, tokens }: Pick<GlobalStep, 'layers' | 'tokens'>): number | null {
  if (layers.length === 0) return null;
  const kept = layers.flatMap((layer) => layer.kept).reduce((total, each) => total + each, 0);
  return kept / (layers.length * tokens);
}

/** Returns the share of the routed choices that were dropped, over all layers; 0 if none were routed. */
export function droppedShare(layers: readonly GlobalLayer[]): number {
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const routed = sum(layers.map((layer) => sum(layer.routed)));
  const kept = sum(layers.map((layer) => sum(layer.kept)));
  return routed === 0 ? 0 : 1 - kept / routed;
}
