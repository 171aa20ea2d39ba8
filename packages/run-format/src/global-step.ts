import { z } from 'zod';
import type { DeepReadonly } from './deep-readonly.js';
import { layerMeasures } from './layer-measures.js';
import { linkBytes } from './row-traffic.js';
import { stepMeasures } from './step-measures.js';

/** Parts of a step's time, which add up to the step except for gaps between them. */
export const STEP_PARTS = ['forward', 'backward', 'exchange', 'allReduce', 'optimizer', 'waiting'] as const;
export type StepPart = (typeof STEP_PARTS)[number];

const count = z.int().nonnegative();

const globalLayer = z.object({ layer: count, ...layerMeasures.shape });
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
  layers: readonly Pick<GlobalLayer, 'sameWorker' | 'sameNode' | 'otherNode'>[],
): { sameWorker: number; sameNode: number; otherNode: number } | null {
  const [sameWorker = 0, sameNode = 0, otherNode = 0] = (
    ['sameWorker', 'sameNode', 'otherNode'] as const
  ).map((place) => layers.reduce((sum, layer) => sum + layer[place], 0));
  const sum = sameWorker + sameNode + otherNode;
  if (sum === 0) return null;
  return { sameWorker: sameWorker / sum, sameNode: sameNode / sum, otherNode: otherNode / sum };
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
  const sumOf = (name: 'routed' | 'kept') =>
    layers.reduce((sum, layer) => layer[name].reduce((total, each) => total + each, sum), 0);
  const routed = sumOf('routed');
  return routed === 0 ? 0 : 1 - sumOf('kept') / routed;
}
