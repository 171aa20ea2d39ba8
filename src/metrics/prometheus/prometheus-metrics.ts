import type { HttpFeature } from '@locmoe/logs/http';
import { numStepsOf, type RestartCosts } from '@locmoe/run-format';
import { Registry } from 'prom-client';
import type { RunConfig } from '../../config/schema.js';
import type { ErrorCode } from '../../errors.js';
import { VERSION } from '../../rpc/version.js';
import type { DiskTolerance } from '../../run/disk-tolerance.js';
import type { RestartBudget } from '../../run/restart-budget.js';
import type { RunListener } from '../../run/run-listener.js';
import type { RunState } from '../../run/run-state.js';
import { instrumentsOf, type RefreshedListener } from './instruments.js';
import { ObserverMetrics } from './observer-metrics.js';
import { metricsFeature, processRegistry } from './process-metrics.js';
import { rankMetrics } from './rank-metrics.js';
import { recoveryMetrics } from './recovery-metrics.js';
import { routingMetrics } from './routing-metrics.js';
import { trainingMetrics } from './training-metrics.js';

const STATES: readonly RunState['kind'][] = [
  'waiting',
  'starting',
  'running',
  'stopping',
  'restarting',
  'finished',
  'failed',
];

/** Errors that can end a run after its start. Their counters start at 0, so that a first failure is an increase. */
const FAILURE_CODES: readonly ErrorCode[] = [
  'COLLECTIVE_TIMEOUT',
  'COLLECTIVE_MISMATCH',
  'WORKER_DIED',
  'WORKER_HUNG',
  'NODE_LOST',
  'BAD_MESSAGE',
  'NOT_FINITE',
  'SUPERSEDED',
  'NO_RESOURCE',
  'DISK_FULL',
  'BAD_CHECKPOINT',
  'ABORTED',
  'INTERNAL',
];

export interface RunMetricsOptions {
  readonly runId: string;
  readonly generation: number;
  readonly config: Pick<RunConfig, 'name' | 'moe' | 'cluster' | 'train' | 'model'>;
  /** Step of the checkpoint that the run starts from; null for a new run. */
  readonly resumedFrom: number | null;
  /** Codes of the earlier generations that failed, and what these failures cost. */
  readonly earlierFailures: readonly string[];
  readonly earlierCosts: RestartCosts;
  readonly budget: RestartBudget;
  readonly disk: Pick<DiskTolerance, 'numLost'>;
}

/**
 * The metrics of the coordinator's process and of the run that it leads, for Prometheus. Before `begin` only
 * metrics of the process are served; afterwards every series has the label `run`.
 */
export class PrometheusMetrics {
  readonly #process = processRegistry();
  readonly observers = new ObserverMetrics(this.#process);
  #wasScraped = false;
  #onScraped = () => {};
  #run: { readonly registry: Registry; readonly refreshed: readonly RefreshedListener[] } | null = null;

  /** `GET /metrics` for Prometheus. */
  get feature(): HttpFeature {
    return metricsFeature(() => this.render());
  }

  /** True once the metrics of the run were asked for. */
  get wasScraped(): boolean {
    return this.#wasScraped;
  }

  /** Resolves once the metrics are asked for again. */
  scraped(): Promise<void> {
    return new Promise((resolve) => {
      this.#onScraped = resolve;
    });
  }

  /** Returns all series in Prometheus' text format. */
  async render(): Promise<string> {
    this.#wasScraped ||= this.#run !== null;
    // A caller of `scraped` from now on waits for the next scrape.
    const answered = this.#onScraped;
    for (const each of [this.observers, ...(this.#run?.refreshed ?? [])]) each.refresh();
    const texts = [this.#process, this.#run?.registry].map((registry) => registry?.metrics() ?? '');
    const text = (await Promise.all(texts)).join('\n');
    answered();
    return text;
  }

  /** Adds the run's series; the listeners returned keep them up to date. */
  begin(options: RunMetricsOptions): RunListener[] {
    const { runId, config, resumedFrom, budget, disk, earlierCosts } = options;
    const { workersPerNode } = config.cluster;
    const registry = new Registry();
    for (const each of [this.#process, registry]) each.setDefaultLabels({ run: runId });
    const refreshed = [
      trainingMetrics(registry, workersPerNode, resumedFrom),
      routingMetrics(registry),
      rankMetrics(registry, workersPerNode),
      recoveryMetrics(registry, budget, disk, earlierCosts),
    ];
    this.#run = { registry, refreshed };
    return [...refreshed, lifeMetrics(registry, options)];
  }
}

/** Creates the metrics of the run's lifecycle: its state, generations and failures. */
function lifeMetrics(
  registry: Registry,
  { generation: first, config, earlierFailures }: RunMetricsOptions,
): RunListener {
  const { counter, gauge } = instrumentsOf(registry);
  const { name: recipe, moe, cluster } = config;
  const states = gauge('locmoe_run_state', '1 for the state that the run is in, 0 for the others', ['state']);
  const failures = counter(
    'locmoe_failures_total',
    'Generations of the run that failed, by error code, over its whole life; after most of them it goes on by itself',
    ['code'],
  );
  const generations = gauge(
    'locmoe_generation',
    'Generation of the run: 1, and one more for each time it was restarted or resumed',
  );
  const info = {
    recipe,
    router: moe.router,
    nodes: cluster.nodes,
    workers_per_node: cluster.workersPerNode,
    version: VERSION,
  };
  gauge('locmoe_run_info', 'What is trained on what; always 1', Object.keys(info)).set(1, info);
  gauge('locmoe_planned_steps', 'Step at which the run ends').set(numStepsOf(config));
  gauge(
    'locmoe_collective_timeout_seconds',
    'Time after which a collective in which nothing moves ends the generation (cluster.collectiveTimeoutS), in seconds',
  ).set(cluster.collectiveTimeoutS);
  const enter = (state: RunState['kind']) => {
    for (const kind of STATES) states.set(kind === state ? 1 : 0, { state: kind });
  };
  const begin = (generation: number) => {
    generations.set(generation);
    enter('waiting');
  };
  begin(first);
  for (const code of FAILURE_CODES) failures.add(0, { code });
  for (const code of earlierFailures) failures.add(1, { code });
  return {
    generation: ({ generation }) => begin(generation),
    state(state) {
      enter(state.kind);
      if ('error' in state) failures.add(1, { code: state.error.code });
    },
  };
}
