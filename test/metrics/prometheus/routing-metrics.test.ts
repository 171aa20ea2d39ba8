import { readFileSync } from 'node:fs';
import { Registry } from 'prom-client';
import { expect, it } from 'vitest';
import { globalLayer, globalStep } from '../../../packages/run-format/test/global-step.js';
import { routingMetrics } from '../../../src/metrics/prometheus/routing-metrics.js';
import type { RunSnapshot } from '../../../src/run/run-listener.js';

it('sparse layers have these metrics, which dashboards and alerts know by name', async () => {
  const registry = new Registry();
  const metrics = routingMetrics(registry);
  const unlimited = { capacity: [0, 0, 0, 0], capacityRatio: null, gateCosine: null };
  metrics.step!(globalStep(1, [globalLayer(1)]), {} as RunSnapshot);
  metrics.step!(globalStep(2, [globalLayer(1), { ...globalLayer(2), ...unlimited }]), {} as RunSnapshot);
  metrics.refresh();
  const text = readFileSync(new URL('routing-metrics.txt', import.meta.url), 'utf8');
  expect(await registry.metrics()).toBe(text);
});
