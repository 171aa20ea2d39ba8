import { spawnSync } from 'node:child_process';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { FailureReport } from '@locmoe/run-format';
import { Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { globalLayer, globalStep, skippedStep } from '../../../packages/run-format/test/global-step.js';
import { TrainerError } from '../../../src/errors.js';
import { PrometheusMetrics } from '../../../src/metrics/prometheus/prometheus-metrics.js';
import { rankMetrics } from '../../../src/metrics/prometheus/rank-metrics.js';
import type { StepReport } from '../../../src/rpc/generated/messages.js';
import { RestartBudget } from '../../../src/run/restart-budget.js';
import type { RankView, RunListener } from '../../../src/run/run-listener.js';
import { config } from '../../checkpoint/fixture.js';
import { findPromtool, NO_PROMTOOL, skipLoudly } from '../../debian-tool.js';

const SHAPE = {
  runId: 'tiny-1',
  generation: 3,
  config: {
    ...config,
    cluster: { ...config.cluster, nodes: 2, workersPerNode: 2, collectiveTimeoutS: 10 },
  },
  resumedFrom: 40,
  earlierFailures: ['WORKER_DIED', 'WORKER_DIED'],
  earlierCosts: { restarts: 1, lostSteps: 9, lostSeconds: 5 },
};

const RANKS: readonly RankView[] = [0, 1, 2, 3].map((rank) => ({
  rank,
  node: Math.floor(rank / 2),
  pid: 100 + rank,
  step: 5,
  phase: 'forward',
  operation: '',
  processState: 'R',
  residentBytes: 1e8 + rank,
  idleMs: 0,
  layer: -1,
  lastHeardMs: 250 * rank,
  sequence: 0,
  waitingFor: -1,
  stalledMs: 0,
  stoppedMs: 0,
}));

const SPEEDS = [0, 1, 2, 3].map((rank) => ({ rank, p50Ms: 40, p99Ms: 90, lostShare: 0.2 }));
const RUN = { ranks: RANKS, steps: 100, tokensPerS: 1234.5, secondsLeft: 9, speeds: SPEEDS };

function startedMetrics() {
  const metrics = new PrometheusMetrics();
  const budget = new RestartBudget({ maxRestarts: 3, restartWindow: 60 });
  const disk = { numLost: 0 };
  const listeners = metrics.begin({ ...SHAPE, budget, disk });
  return {
    metrics,
    budget,
    disk,
    notify: (tell: (listener: RunListener) => void) => listeners.forEach(tell),
  };
}

/** Metrics of a run in which everything happened that creates a series. */
function fullMetrics() {
  const { metrics, budget, disk, notify } = startedMetrics();
  notify((each) => each.state?.({ kind: 'running' }));
  const report = { ...(globalStep(1) as unknown as StepReport), allToAllMs: 4, allToAllWaitMs: 1 };
  for (const rank of [0, 1, 2, 3]) notify((each) => each.rankStep?.({ ...report, rank }));
  for (const step of [1, 2])
    notify((each) => each.step?.(globalStep(step, [globalLayer(1), globalLayer(2)]), RUN));
  const domains = ['en', 'zh'].map((domain) => ({ domain, loss: 4, tokens: 9 }));
  notify((each) => each.validation?.({ step: 2, domains }));
  notify((each) => each.checkpoint?.({ step: 2, directory: '/x', bytes: 4e6, seconds: 0.5 }));
  for (const node of [0, 1]) {
    notify((each) => each.heartbeat?.(node, { workers: [], logQueueLines: 7 * node }, RUN));
    notify((each) => each.logLines?.(node, { kept: 10, dropped: node }));
  }
  return { metrics, budget, disk, notify };
}

/** Values by name and labels, without the label of the run. */
async function seriesOf(metrics: PrometheusMetrics): Promise<Map<string, string>> {
  const lines = (await metrics.render()).split('\n').filter((line) => line.startsWith('locmoe_'));
  for (const line of lines) expect(line).toContain('run="tiny-1"');
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(' ');
      const name = line
        .slice(0, at)
        .replace(/,?run="tiny-1"/, '')
        .replace('{}', '')
        .replace('{,', '{');
      return [name, line.slice(at + 1)];
    }),
  );
}

describe('the metrics of a run', () => {
  it('say what was reported, in base units', async () => {
    const series = await seriesOf(fullMetrics().metrics);
    const expected: Readonly<Record<string, number>> = {
      locmoe_loss: 5,
      locmoe_step: 2,
      locmoe_choices_as_of_id_ratio: 0.75,
      locmoe_bytes_imbalance_ratio: 1.1,
      locmoe_steps_total: 2,
      locmoe_tokens_total: 512,
      locmoe_tokens_per_second: 1234.5,
      locmoe_step_duration_seconds_count: 2,
      locmoe_step_duration_seconds_sum: 0.04,
      'locmoe_step_duration_seconds_bucket{le="0.02"}': 2,
      'locmoe_step_duration_seconds_bucket{le="0.01"}': 0,
      'locmoe_step_part_seconds_total{node="1",rank="3",part="all_reduce"}': 0.001,
      'locmoe_all_to_all_seconds_total{node="0",rank="1",activity="transfer"}': 0.003,
      'locmoe_all_to_all_seconds_total{node="0",rank="1",activity="waiting"}': 0.001,
      'locmoe_exchange_bytes_total{tier="other_node"}': 4000,
      'locmoe_routed_choices_total{layer="2"}': 200,
      'locmoe_dropped_choices_total{layer="1",reason="over_capacity"}': 12,
      'locmoe_dropped_choices_total{layer="1",reason="not_chosen"}': 8,
      'locmoe_expert_choices_total{layer="1",expert="0"}': 66,
      'locmoe_dispatched_choices_total{layer="1",tier="same_node"}': 60,
      'locmoe_dispatched_bytes_total{layer="2",tier="other_node"}': 2000,
      'locmoe_expert_capacity_choices{layer="1"}': 40,
      'locmoe_expert_capacity_ratio{layer="1"}': 0.8,
      'locmoe_gate_cosine{layer="1"}': 0.25,
      'locmoe_validation_loss{domain="zh"}': 4,
      locmoe_checkpoint_step: 2,
      locmoe_checkpoint_duration_seconds: 0.5,
      locmoe_checkpoint_size_bytes: 4e6,
      locmoe_remaining_seconds: 9,
      locmoe_collective_timeout_seconds: 10,
      'locmoe_rank_stalled_seconds{node="1",rank="3"}': 0,
      'locmoe_rank_resident_memory_bytes{node="1",rank="2"}': 1e8 + 2,
      'locmoe_rank_step_p50_seconds{node="1",rank="3"}': 0.04,
      'locmoe_rank_step_p99_seconds{node="1",rank="3"}': 0.09,
      'locmoe_rank_lost_ratio{node="1",rank="3"}': 0.2,
      'locmoe_log_queue_lines{node="1"}': 7,
      'locmoe_log_lines_dropped_total{node="1"}': 1,
      'locmoe_run_state{state="running"}': 1,
      'locmoe_run_state{state="failed"}': 0,
      'locmoe_failures_total{code="WORKER_DIED"}': 2,
      'locmoe_failures_total{code="NODE_LOST"}': 0,
      locmoe_generation: 3,
    };
    const seen = Object.keys(expected).map((name) => [name, Number(series.get(name))]);
    expect(Object.fromEntries(seen)).toEqual(expected);
  });

  it('count the silence of a rank on between heartbeats', () => {
    let now = 0;
    const registry = new Registry();
    const ranks = rankMetrics(registry, 2, () => now);
    ranks.heartbeat!(0, { workers: [], logQueueLines: 0 }, RUN);
    now = 1250;
    ranks.refresh();
    return expect(registry.metrics()).resolves.toContain(
      'locmoe_rank_silence_seconds{node="1",rank="3"} 2\n',
    );
  });

  it('are as many as docs/metrics.md says', async () => {
    const [layers, experts, ranks, nodes, domains] = [2, 4, 4, 2, 2];
    const series = await seriesOf(fullMetrics().metrics);
    expect(series.size).toBe(103 + layers * (experts + 12) + 15 * ranks + 3 * nodes + domains);
  });

  it('are absent as long as they are not known', async () => {
    const series = await seriesOf(startedMetrics().metrics);
    for (const name of ['locmoe_loss', 'locmoe_step', 'locmoe_checkpoint_timestamp_seconds'])
      expect(series.has(name), name).toBe(false);
    expect(series.get('locmoe_checkpoint_step')).toBe('40');
  });

  it('show what is not finite, and keep it out of counters', async () => {
    const { metrics, notify } = fullMetrics();
    const broken = globalLayer(1);
    const step = {
      ...globalStep(3, [{ ...broken, sameNode: Number.NaN, capacity: [0, 0, 0, 0], capacityRatio: null }]),
      loss: Number.NaN,
      gradientNorm: Number.POSITIVE_INFINITY,
      tokens: Number.NaN,
      stepMs: Number.NaN,
      bytesOtherNode: -1,
    };
    notify((each) => each.step?.(step, RUN));
    const series = await seriesOf(metrics);
    expect(series.get('locmoe_loss')?.toLowerCase()).toBe('nan');
    expect(series.get('locmoe_gradient_norm')).toBe('+Inf');
    expect(series.get('locmoe_tokens_total')).toBe('512');
    expect(series.get('locmoe_step_duration_seconds_count')).toBe('2');
    expect(series.get('locmoe_exchange_bytes_total{tier="other_node"}')).toBe('4000');
    expect(series.get('locmoe_dispatched_choices_total{layer="1",tier="same_node"}')).toBe('60');
    for (const name of ['locmoe_expert_capacity_choices', 'locmoe_expert_capacity_ratio'])
      expect([series.has(`${name}{layer="1"}`), series.has(`${name}{layer="2"}`)]).toEqual([false, true]);
  });

  it('count a skipped step, which has no loss', async () => {
    const { metrics, notify } = fullMetrics();
    expect((await seriesOf(metrics)).get('locmoe_skipped_steps_total')).toBe('0');
    notify((each) => each.step?.(skippedStep(3), RUN));
    const series = await seriesOf(metrics);
    expect(series.get('locmoe_skipped_steps_total')).toBe('1');
    expect(series.get('locmoe_steps_total')).toBe('3');
    expect(series.has('locmoe_loss')).toBe(false);
  });

  it('count restarts and what they cost, those of earlier processes too, and tell how many are left', async () => {
    const { metrics, budget, notify } = fullMetrics();
    const names = 'restarts_total, restarts_left, lost_steps_total, lost_seconds_total, recovery_seconds_sum';
    const recoveries = async () => {
      const series = await seriesOf(metrics);
      return names.split(', ').map((name) => Number(series.get(`locmoe_${name}`)));
    };
    expect(await recoveries()).toEqual([1, 3, 9, 5, 0]);
    budget.spend();
    notify((each) => each.restarts?.({} as FailureReport, 2));
    notify((each) => each.recovered?.({ detectedS: 0.5, restartedS: 4, lostSteps: 7, lostS: 2 }));
    expect(await recoveries()).toEqual([2, 2, 16, 11.5, 4.5]);
    expect((await seriesOf(metrics)).get('locmoe_recovery_seconds_count')).toBe('1');
  });

  it('tell when they are asked for again, but not of an answer that was begun before', async () => {
    const { metrics } = startedMetrics();
    const begun = metrics.render();
    let isScraped = false;
    const scraped = metrics.scraped().then(() => {
      isScraped = true;
    });
    await begun;
    await nextTurn();
    expect(isScraped).toBe(false);
    await metrics.render();
    await scraped;
  });

  it('count what a full disk costs', async () => {
    const { metrics, disk, notify } = fullMetrics();
    const losses = async () => {
      const series = await seriesOf(metrics);
      return ['locmoe_records_lost_total', 'locmoe_checkpoint_failures_total'].map((name) =>
        series.get(name),
      );
    };
    // Counters start at 0, so that the first loss counts as an increase.
    expect(await losses()).toEqual(['0', '0']);
    disk.numLost = 7;
    notify((each) => each.checkpointFailed?.(4));
    expect(await losses()).toEqual(['7', '1']);
    expect(await losses()).toEqual(['7', '1']);
  });

  it('count who asks, and what tails miss', async () => {
    const { metrics } = startedMetrics();
    const { observers } = metrics;
    for (const [path, status, ms] of [
      ['/metrics', 200, 3],
      ['/loki/api/v1/query_range', 400, 30],
      ['/loki/api/v1/labels', 200, 1],
      ['/api/runs', 200, 1],
      ['/page/main.js', 200, 1],
      ['/ready', 200, 1],
    ] as const)
      observers.answered({ path, status, ms });
    observers.watch(() => ({ tails: 2, droppedLines: 7, waitingRequests: 3 }));
    const seen = [...(await seriesOf(metrics))].filter(([name]) =>
      /requests|tail|query_seconds_(sum|count)/.test(name),
    );
    expect(Object.fromEntries(seen)).toEqual({
      'locmoe_http_requests_total{route="metrics",code="200"}': '1',
      'locmoe_http_requests_total{route="query",code="400"}': '1',
      'locmoe_http_requests_total{route="logs",code="200"}': '1',
      'locmoe_http_requests_total{route="data",code="200"}': '1',
      'locmoe_http_requests_total{route="page",code="200"}': '1',
      'locmoe_http_requests_total{route="other",code="200"}': '1',
      locmoe_log_query_seconds_sum: '0.03',
      locmoe_log_query_seconds_count: '1',
      locmoe_log_tails: '2',
      locmoe_log_requests_waiting: '3',
      locmoe_log_tail_lines_dropped_total: '7',
    });
    expect((await seriesOf(metrics)).get('locmoe_log_tail_lines_dropped_total')).toBe('7');
  });

  it('count the failure that ends the run', async () => {
    const { metrics, notify } = fullMetrics();
    const error = new TrainerError('WORKER_DIED', 'x');
    notify((each) => each.state?.({ kind: 'failed', error }));
    const series = await seriesOf(metrics);
    expect(series.get('locmoe_failures_total{code="WORKER_DIED"}')).toBe('3');
    expect(series.get('locmoe_run_state{state="failed"}')).toBe('1');
    expect(series.get('locmoe_run_state{state="running"}')).toBe('0');
  });

  it('are what Prometheus expects of metrics, before and in a run', async ({ skip }) => {
    const promtool = findPromtool();
    if (promtool === null) return skipLoudly(skip, NO_PROMTOOL);
    const { metrics, notify } = fullMetrics();
    const step = { ...globalStep(3), loss: Number.NaN, gradientNorm: Number.POSITIVE_INFINITY };
    notify((each) => each.step?.(step, RUN));
    for (const text of [await new PrometheusMetrics().render(), await metrics.render()]) {
      expect(text).toMatch(/^process_resident_memory_bytes(\{run="tiny-1"\})? \d+/m);
      const check = spawnSync(promtool, ['check', 'metrics'], { input: text, encoding: 'utf8' });
      expect([check.status, check.stdout, check.stderr]).toEqual([0, '', '']);
    }
    const wrong = '# HELP a_total x\n# TYPE a_total gauge\na_total 1\n';
    expect(spawnSync(promtool, ['check', 'metrics'], { input: wrong }).status).not.toBe(0);
  });
});
