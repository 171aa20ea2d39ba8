import type { RestartCosts } from '@locmoe/run-format';
import { Registry } from 'prom-client';
import type { ErrorCode } from '../../errors.js';
import { VERSION } from '../../rpc/version.js';
import type { RestartBudget } from '../../run/restart-budget.js';
import type { GenerationView, RunListener } from '../../run/run-listener.js';
import type { RunState } from '../../run/run-state.js';
import { counter, gauge } from './instruments.js';
import { ObserverMetrics } from './observer-metrics.js';
import { collectProcessMetrics } from './process-metrics.js';
import { RankMetrics } from './rank-metrics.js';
import { RecoveryMetrics } from './recovery-metrics.js';
import { RoutingMetrics } from './routing-metrics.js';
import { TrainingMetrics } from './training-metrics.js';

const STATES: readonly RunState['kind'][] = [
  'waiting',
  'starting',
  'running',
  'stopping',
  'restarting',
  'finished',
  'failed',
];

/**
 * Errors that can end a run that has begun; their counters start at 0, so that a first failure is an
 * increase.
 */
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
  /** Step of the checkpoint that the run starts from; null for a new run. */
  readonly resumedFrom: number | null;
  /** Codes of the earlier generations that failed. */
  readonly earlierFailures: readonly string[];
  /** Their costs. */
  readonly earlierCosts: RestartCosts;
  readonly budget: RestartBudget;
}

/**
 * The metrics of the coordinator's process and of the run it leads, for Prometheus. Created before the run;
 * until then only metrics of the process are served. Every series carries the run's name in the label `run`, once
 * there is one.
 */
export class PrometheusMetrics {
  readonly #process = new Registry();
  readonly observers = new ObserverMetrics(this.#process);
  #wasScraped = false;
  #run: { readonly registry: Registry; readonly refreshed: readonly { refresh(): void }[] } | null = null;

  constructor() {
    collectProcessMetrics(this.#process);
  }

  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;

  /** Somebody has asked for the metrics of the run. */
  get wasScraped(): boolean {
    return this.#wasScraped;
  }

  /** All series in Prometheus' text format. */
  async render(): Promise<string> {
    this.#wasScraped ||= this.#run !== null;
    for (const each of [this.observers, ...(this.#run?.refreshed ?? [])]) each.refresh();
    const texts = [this.#process, this.#run?.registry].map((registry) => registry?.metrics() ?? '');
    return (await Promise.all(texts)).join('\n');
  }

  /** Adds the run's series; the listeners returned keep them up to date. */
  begin(runId: string, options: RunMetricsOptions & RunShape): RunListener[] {
    const registry = new Registry();
    for (const each of [this.#process, registry]) each.setDefaultLabels({ run: runId });
    const training = new TrainingMetrics(registry, options.workersPerNode);
    if (options.resumedFrom !== null) training.resumedFrom(options.resumedFrom);
    const routing = new RoutingMetrics(registry);
    const ranks = new RankMetrics(registry, options.workersPerNode);
    const life = new LifeMetrics(registry, options);
    const recovery = new RecoveryMetrics(registry, options.budget, options.earlierCosts);
    this.#run = { registry, refreshed: [training, routing, ranks, recovery] };
    return [training, routing, ranks, life, recovery];
  }
}

/** The part of a run's configuration that is exported. */
export interface RunShape {
  readonly generation: number;
  readonly recipe: string;
  readonly router: string;
  readonly steps: number;
  readonly nodes: number;
  readonly workersPerNode: number;
  readonly collectiveTimeoutS: number;
}

/** The life of the run: its state, its generations, its failures. */
class LifeMetrics implements RunListener {
  readonly #state;
  readonly #failures;
  readonly #generation;

  constructor(registry: Registry, { earlierFailures, ...shape }: RunMetricsOptions & RunShape) {
    this.#state = gauge(
      registry,
      'locmoe_run_state',
      '1 for the state that the run is in, 0 for the others',
      ['state'],
    );
    this.#failures = counter(
      registry,
      'locmoe_failures_total',
      'Generations of the run that failed, by error code, over its whole life; after most of them it goes on by itself',
      ['code'],
    );
    gauge(registry, 'locmoe_run_info', 'What is trained on what; always 1', [
      'recipe',
      'router',
      'nodes',
      'workers_per_node',
      'version',
    ]).set(1, {
      recipe: shape.recipe,
      router: shape.router,
      nodes: shape.nodes,
      workers_per_node: shape.workersPerNode,
      version: VERSION,
    });
    this.#generation = gauge(
      registry,
      'locmoe_generation',
      'Generation of the run: 1, and one more for each time it was restarted or resumed',
    );
    this.#generation.set(shape.generation);
    gauge(registry, 'locmoe_planned_steps', 'Step at which the run ends').set(shape.steps);
    gauge(
      registry,
      'locmoe_collective_timeout_seconds',
      'Time after which a collective in which nothing moves ends the generation (cluster.collectiveTimeoutS), in seconds',
    ).set(shape.collectiveTimeoutS);
    this.state({ kind: 'waiting' });
    for (const code of FAILURE_CODES) this.#failures.add(0, { code });
    for (const code of earlierFailures) this.#failures.add(1, { code });
  }

  generation({ generation }: GenerationView): void {
    this.#generation.set(generation);
    this.state({ kind: 'waiting' });
  }

  state(state: RunState): void {
    for (const kind of STATES) this.#state.set(kind === state.kind ? 1 : 0, { state: kind });
    if (state.kind === 'failed' || state.kind === 'restarting')
      this.#failures.add(1, { code: state.error.code });
  }
}
