import type { LossOptions } from '../model/language-model.js';
import type { DecisionChange } from '../model/moe-layer.js';
import type { RoutingDecision } from '../routing/index.js';

/** A change to a model; the loss with the change tells how far the model depends on the changed part. */
export interface Ablation {
  readonly name: string;
  readonly options: Pick<LossOptions, 'gateControl' | 'change'>;
}

/** Returns the ablations of the gate: its scores set to zero, or replaced by the scores of other tokens. */
export function gateAblations(): Ablation[] {
  return [
    { name: 'gate scores zero', options: { gateControl: 'zero' } },
    { name: 'gate scores of other tokens', options: { gateControl: 'shuffled' } },
  ];
}

/**
 * Returns the ablations of the experts: each expert of each sparse layer left out, and each pair of neighbours in a
 * group exchanged.
 *
 * @param groups the experts of each group, by global id
 */
export function expertAblations(layers: readonly number[], groups: readonly Int32Array[]): Ablation[] {
  return layers.flatMap((layer) => [
    ...groups.flatMap((group) =>
      Array.from(group, (expert) => ({
        name: `layer ${layer} without e${expert}`,
        options: { change: inLayer(layer, (decision) => without(decision, expert)) },
      })),
    ),
    ...groups.flatMap((group) =>
      Array.from(group.subarray(1), (expert) => ({
        name: `layer ${layer}, e${expert - 1} and e${expert} exchanged`,
        options: { change: inLayer(layer, (decision) => exchanged(decision, expert - 1, expert)) },
      })),
    ),
  ]);
}

function inLayer(layer: number, change: (decision: RoutingDecision) => RoutingDecision): DecisionChange {
  return (at, decision) => (at === layer ? change(decision) : decision);
}

/** Drops the choices of an expert. */
function without(decision: RoutingDecision, expert: number): RoutingDecision {
  const none = (keptE: Int32Array) => keptE.map((kept, e) => (e === expert ? 0 : kept));
  return {
    ...decision,
    expertsTK: decision.expertsTK.map((e) => (e === expert ? -1 : e)),
    keptE: none(decision.keptE),
    keptOfRank: decision.keptOfRank.map(none),
  };
}

/** Gives two experts each other's tokens. */
function exchanged(decision: RoutingDecision, a: number, b: number): RoutingDecision {
  const other = (e: number) => (e === a ? b : e === b ? a : e);
  const moved = (keptE: Int32Array) => keptE.map((_, e) => keptE[other(e)]!);
  return {
    ...decision,
    expertsTK: decision.expertsTK.map(other),
    keptE: moved(decision.keptE),
    keptOfRank: decision.keptOfRank.map(moved),
  };
}
