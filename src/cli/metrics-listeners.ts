import { generationsOf, numStepsOf, readJournal, restartCostsOf } from '@locmoe/run-format';
import type { RunOptions } from '../coordinator/planning/run-options.js';
import type { OpenRun } from '../coordinator/run-view.js';
import type { PrometheusMetrics } from '../metrics/prometheus/prometheus-metrics.js';
import { TensorboardExport } from '../metrics/tensorboard/tensorboard-export.js';
import type { RunListener } from '../run/run-listener.js';
import type { PageFeature } from './packages.js';

/**
 * Creates the listeners that export a run's metrics.
 *
 * @param page keeps an index of them; null if there is none
 * @param prometheus null if there is no server to scrape
 * @throws the file system's error if no file for TensorBoard can be created
 */
export function metricsListeners(
  { identity, folder, logger, totals, resumedFrom }: OpenRun,
  { tensorboard: directory }: Pick<RunOptions, 'tensorboard'>,
  prometheus: PrometheusMetrics | null,
  page: PageFeature | null,
): RunListener[] {
  const { runId, generation, config } = identity;
  const { name, moe, cluster } = config;
  return [
    ...(prometheus?.begin(runId, {
      generation,
      recipe: name,
      router: moe.router,
      steps: numStepsOf(config),
      nodes: cluster.nodes,
      workersPerNode: cluster.workersPerNode,
      resumedFrom,
      collectiveTimeoutS: cluster.collectiveTimeoutS,
      earlierFailures: folder.failures().map(({ code }) => code),
      earlierCosts: restartCostsOf(generationsOf(readJournal(folder.journal))),
      budget: totals.budget,
    }) ?? []),
    ...(page === null ? [] : [page.follow(runId)]),
    ...(directory === undefined ? [] : [new TensorboardExport({ directory, runId, resumedFrom, logger })]),
  ];
}
