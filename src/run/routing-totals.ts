import type { GlobalLayer } from '@locmoe/run-format';

/** A layer's choices summed over a run, and its routing in the last step. */
export interface LayerTotals {
  readonly layer: number;
  /** Choices by expert that were kept. */
  readonly kept: readonly number[];
  /** Choices of all experts: kept, over capacity and not chosen add up to routed. */
  readonly routed: number;
  readonly overCapacity: number;
  readonly notChosen: number;
  /** Kept choices by how far they travelled. */
  readonly sameWorker: number;
  readonly sameNode: number;
  readonly otherNode: number;
  /** Ratio of the last step (GlobalLayer). */
  readonly capacityRatio: number | null;
  readonly gateCosine: number | null;
}

/** Adds up the routing of all steps of a run, by layer. */
export class RoutingTotals {
  readonly #layers = new Map<number, LayerTotals>();

  /** Ascending by layer. */
  get layers(): LayerTotals[] {
    return [...this.#layers.values()].sort((a, b) => a.layer - b.layer);
  }

  add(layers: readonly GlobalLayer[]): void {
    for (const step of layers) {
      const before = this.#layers.get(step.layer);
      this.#layers.set(step.layer, {
        layer: step.layer,
        kept: step.kept.map((kept, expert) => kept + (before?.kept[expert] ?? 0)),
        routed: sum(step.routed) + (before?.routed ?? 0),
        overCapacity: sum(step.overCapacity) + (before?.overCapacity ?? 0),
        notChosen: sum(step.notChosen) + (before?.notChosen ?? 0),
        sameWorker: step.sameWorker + (before?.sameWorker ?? 0),
        sameNode: step.sameNode + (before?.sameNode ?? 0),
        otherNode: step.otherNode + (before?.otherNode ?? 0),
        capacityRatio: step.capacityRatio,
        gateCosine: step.gateCosine,
      });
    }
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
