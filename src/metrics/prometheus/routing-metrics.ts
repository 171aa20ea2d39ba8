import type { Registry } from 'prom-client';
import type { GlobalLayer, GlobalStep } from '../../run/global-step.js';
import type { RunListener } from '../../run/run-listener.js';
import { counter, gauge } from './instruments.js';

/** Routing of the sparse layers: load of experts, distance of tokens, drops. */
export class RoutingMetrics implements RunListener {
  readonly #routed;
  readonly #dropped;
  readonly #kept;
  readonly #choices;
  readonly #bytes;
  readonly #capacity;
  readonly #capacityRatio;
  readonly #gateCosine;

  constructor(registry: Registry) {
    this.#routed = counter(
      registry,
      'locmoe_routed_choices_total',
      'Choices of an expert for a token before drops, by sparse layer; kept and dropped ones add up to them',
      ['layer'],
    );
    this.#dropped = counter(
      registry,
      'locmoe_dropped_choices_total',
      'Choices that were dropped: the expert was full (over_capacity) or preferred others (not_chosen)',
      ['layer', 'reason'],
    );
    this.#kept = counter(
      registry,
      'locmoe_expert_choices_total',
      'Choices that were kept, by sparse layer and expert: the load of the expert',
      ['layer', 'expert'],
    );
    this.#choices = counter(
      registry,
      'locmoe_dispatched_choices_total',
      'Kept choices by how far the token travelled to its expert: same_worker, same_node, other_node',
      ['layer', 'tier'],
    );
    this.#bytes = counter(
      registry,
      'locmoe_dispatched_bytes_total',
      'Bytes of activations by how far they travelled in the forward pass, there and back',
      ['layer', 'tier'],
    );
    this.#capacity = gauge(
      registry,
      'locmoe_expert_capacity_choices',
      'Choices that an expert takes from all ranks in a step, mean of the layer; absent where nothing limits it',
      ['layer'],
    );
    this.#capacityRatio = gauge(
      registry,
      'locmoe_expert_capacity_ratio',
      "Mean capacity over the classic one with the run's capacity factor; absent where nothing limits it",
      ['layer'],
    );
    this.#gateCosine = gauge(
      registry,
      'locmoe_gate_cosine',
      'Mean cosine between tokens and the gates of their experts; absent where experts have no gate vector',
      ['layer'],
    );
  }

  step({ layers }: GlobalStep): void {
    for (const layer of layers) this.#layer(layer);
  }

  #layer({ layer, bytes, ...of }: GlobalLayer): void {
    this.#routed.add(sum(of.routed), { layer });
    this.#dropped.add(sum(of.overCapacity), { layer, reason: 'over_capacity' });
    this.#dropped.add(sum(of.notChosen), { layer, reason: 'not_chosen' });
    of.kept.forEach((kept, expert) => {
      this.#kept.add(kept, { layer, expert });
    });
    this.#choices.add(of.sameWorker, { layer, tier: 'same_worker' });
    this.#choices.add(of.sameNode, { layer, tier: 'same_node' });
    this.#choices.add(of.otherNode, { layer, tier: 'other_node' });
    this.#bytes.add(bytes.sameWorker, { layer, tier: 'same_worker' });
    this.#bytes.add(bytes.sameNode, { layer, tier: 'same_node' });
    this.#bytes.add(bytes.otherNode, { layer, tier: 'other_node' });
    const isLimited = !of.capacity.includes(0);
    this.#capacity.set(isLimited ? sum(of.capacity) / of.capacity.length : null, { layer });
    this.#capacityRatio.set(of.capacityRatio, { layer });
    this.#gateCosine.set(of.gateCosine, { layer });
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
