import { type GlobalLayer, LAYER_MEASURES } from '@locmoe/run-format';
import type { Registry } from 'prom-client';
import { DeferredWork, instrumentsOf, type RefreshedListener } from './instruments.js';

type Value = number | null;
type Put = (value: Value) => void;

/** Creates the metrics of the sparse layers' routing: load of experts, distance of tokens, drops. */
export function routingMetrics(registry: Registry): RefreshedListener {
  const { counter, gauge } = instrumentsOf(registry);
  const metrics = new Map<string, ReturnType<typeof counter> | ReturnType<typeof gauge>>();
  const exported = LAYER_MEASURES.map(({ name, prometheus, help, labels = {}, separate }) => {
    const isCounter = prometheus.endsWith('_total');
    const labelNames = ['layer', ...Object.keys(labels), separate ?? []].flat();
    const metric = metrics.get(prometheus) ?? (isCounter ? counter : gauge)(prometheus, help, labelNames);
    metrics.set(prometheus, metric);
    const seriesIn = (layer: number, label: Readonly<Record<string, string>> = {}) => {
      const series = metric.series({ layer, ...labels, ...label });
      return ('set' in series ? series.set : series.add) as Put;
    };
    return {
      seriesOf: ({ layer, [name]: value }: GlobalLayer): Put[] =>
        separate === undefined
          ? [seriesIn(layer)]
          : Object.keys(value ?? []).map((key) =>
              seriesIn(layer, { [separate]: key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`) }),
            ),
      valuesOf: ({ [name]: value }: GlobalLayer): Value[] =>
        separate === undefined
          ? [numberOf((value ?? null) as Value | readonly number[], isCounter)]
          : Object.values(value ?? []),
    };
  });
  const layers = new Map<number, Put[][]>();
  const count = (layer: GlobalLayer) => {
    const series = layers.get(layer.layer) ?? exported.map(({ seriesOf }) => seriesOf(layer));
    layers.set(layer.layer, series);
    exported.forEach(({ valuesOf }, index) => {
      const values = valuesOf(layer);
      for (let at = 0; at < values.length; at++) series[index]![at]!(values[at]!);
    });
  };
  const deferred = new DeferredWork();
  return {
    step: (step) => deferred.add(() => step.layers.forEach(count)),
    refresh: () => deferred.finish(),
  };
}

/** Returns numbers by expert as one: their sum, or their mean, which is null if one of them is 0. */
function numberOf(value: Value | readonly number[], isSummed: boolean): Value {
  if (value === null || typeof value === 'number') return value;
  const sum = value.reduce((total, each) => total + each, 0);
  if (isSummed) return sum;
  return value.includes(0) ? null : sum / value.length;
}
