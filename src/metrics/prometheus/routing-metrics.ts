import type { GlobalLayer, GlobalStep } from '@locmoe/run-format';
import type { Registry } from 'prom-client';
import type { RunListener } from '../../run/run-listener.js';
import {
  type CounterSeries,
  counter,
  DeferredWork,
  type GaugeSeries,
  gauge,
  type SafeCounter,
} from './instruments.js';

/** The series of a sparse layer. */
interface LayerSeries {
  readonly routed: CounterSeries;
  readonly overCapacity: CounterSeries;
  readonly notChosen: CounterSeries;
  /** Counters by expert. */
  readonly kept: readonly CounterSeries[];
  readonly choices: Readonly<Record<Tier, CounterSeries>>;
  readonly bytes: Readonly<Record<Tier, CounterSeries>>;
  readonly capacity: GaugeSeries;
  readonly capacityRatio: GaugeSeries;
  readonly gateCosine: GaugeSeries;
}

const TIER_LABELS = {
  sameWorker: 'same_worker',
  sameNode: 'same_node',
  otherNode: 'other_node',
} as const;
type Tier = keyof typeof TIER_LABELS;
const TIERS = Object.keys(TIER_LABELS) as Tier[];

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
  readonly #layers = new Map<number, LayerSeries>();
  readonly #deferred = new DeferredWork();

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
    this.#deferred.add(() => {
      for (const layer of layers) this.#layer(layer);
    });
  }

  /** Counts the steps since the last call. */
  refresh(): void {
    this.#deferred.finish();
  }

  #layer(layer: GlobalLayer): void {
    let series = this.#layers.get(layer.layer);
    if (series === undefined) {
      series = this.#seriesOf(layer);
      this.#layers.set(layer.layer, series);
    }
    series.routed.add(sum(layer.routed));
    series.overCapacity.add(sum(layer.overCapacity));
    series.notChosen.add(sum(layer.notChosen));
    for (const [expert, kept] of layer.kept.entries()) series.kept[expert]!.add(kept);
    for (const tier of TIERS) {
      series.choices[tier].add(layer[tier]);
      series.bytes[tier].add(layer.bytes[tier]);
    }
    const { capacity } = layer;
    series.capacity.set(capacity.includes(0) ? null : sum(capacity) / capacity.length);
    series.capacityRatio.set(layer.capacityRatio);
    series.gateCosine.set(layer.gateCosine);
  }

  #seriesOf({ layer, kept }: GlobalLayer): LayerSeries {
    const byTier = (instrument: SafeCounter) => {
      const seriesOf = (tier: Tier) => instrument.series({ layer, tier: TIER_LABELS[tier] });
      return {
        sameWorker: seriesOf('sameWorker'),
        sameNode: seriesOf('sameNode'),
        otherNode: seriesOf('otherNode'),
      };
    };
    return {
      routed: this.#routed.series({ layer }),
      overCapacity: this.#dropped.series({ layer, reason: 'over_capacity' }),
      notChosen: this.#dropped.series({ layer, reason: 'not_chosen' }),
      kept: kept.map((_, expert) => this.#kept.series({ layer, expert })),
      choices: byTier(this.#choices),
      bytes: byTier(this.#bytes),
      capacity: this.#capacity.series({ layer }),
      capacityRatio: this.#capacityRatio.series({ layer }),
      gateCosine: this.#gateCosine.series({ layer }),
    };
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
