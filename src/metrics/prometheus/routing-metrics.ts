import type { GlobalLayer } from '@locmoe/run-format';
import type { Registry } from 'prom-client';
import { DeferredWork, instrumentsOf, type RefreshedListener, type SafeCounter } from './instruments.js';

/** Creates the metrics of the sparse layers' routing: load of experts, distance of tokens, drops. */
export function routingMetrics(registry: Registry): RefreshedListener {
  const { counter, gauge } = instrumentsOf(registry);
  const routed = counter(
    'locmoe_routed_choices_total',
    'Choices of an expert for a token before drops, by sparse layer; kept and dropped ones add up to them',
    ['layer'],
  );
  const dropped = counter(
    'locmoe_dropped_choices_total',
    'Choices that were dropped: the expert was full (over_capacity) or preferred others (not_chosen)',
    ['layer', 'reason'],
  );
  const kept = counter(
    'locmoe_expert_choices_total',
    'Choices that were kept, by sparse layer and expert: the load of the expert',
    ['layer', 'expert'],
  );
  const choices = counter(
    'locmoe_dispatched_choices_total',
    'Kept choices by how far the token travelled to its expert: same_worker, same_node, other_node',
    ['layer', 'tier'],
  );
  const bytes = counter(
    'locmoe_dispatched_bytes_total',
    'Bytes of activations by how far they travelled in the forward pass, there and back',
    ['layer', 'tier'],
  );
  const capacity = gauge(
    'locmoe_expert_capacity_choices',
    'Choices that an expert takes from all ranks in a step, mean of the layer; absent where nothing limits it',
    ['layer'],
  );
  const capacityRatio = gauge(
    'locmoe_expert_capacity_ratio',
    "Mean capacity over the classic one with the run's capacity factor; absent where nothing limits it",
    ['layer'],
  );
  const gateCosine = gauge(
    'locmoe_gate_cosine',
    'Mean cosine between tokens and the gates of their experts; absent where experts have no gate vector',
    ['layer'],
  );
  const seriesOf = ({ layer, kept: byExpert }: GlobalLayer) => ({
    routed: routed.series({ layer }),
    overCapacity: dropped.series({ layer, reason: 'over_capacity' }),
    notChosen: dropped.series({ layer, reason: 'not_chosen' }),
    kept: byExpert.map((_, expert) => kept.series({ layer, expert })),
    choices: byTier(choices, layer),
    bytes: byTier(bytes, layer),
    capacity: capacity.series({ layer }),
    capacityRatio: capacityRatio.series({ layer }),
    gateCosine: gateCosine.series({ layer }),
  });
  const layers = new Map<number, ReturnType<typeof seriesOf>>();
  const count = (layer: GlobalLayer) => {
    const series = layers.get(layer.layer) ?? seriesOf(layer);
    layers.set(layer.layer, series);
    series.routed.add(sum(layer.routed));
    series.overCapacity.add(sum(layer.overCapacity));
    series.notChosen.add(sum(layer.notChosen));
    for (const [expert, kept] of layer.kept.entries()) series.kept[expert]!.add(kept);
    for (const tier of ['sameWorker', 'sameNode', 'otherNode'] as const) {
      series.choices[tier].add(layer[tier]);
      series.bytes[tier].add(layer.bytes[tier]);
    }
    series.capacity.set(layer.capacity.includes(0) ? null : sum(layer.capacity) / layer.capacity.length);
    series.capacityRatio.set(layer.capacityRatio);
    series.gateCosine.set(layer.gateCosine);
  };
  const deferred = new DeferredWork();
  return {
    step: (step) => deferred.add(() => step.layers.forEach(count)),
    refresh: () => deferred.finish(),
  };
}

function byTier(instrument: SafeCounter, layer: number) {
  return {
    sameWorker: instrument.series({ layer, tier: 'same_worker' }),
    sameNode: instrument.series({ layer, tier: 'same_node' }),
    otherNode: instrument.series({ layer, tier: 'other_node' }),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
