import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import {
  expertsPerToken,
  type FailureReport,
  type GlobalStep,
  locality,
  meanLoss,
  type RunRecord,
  type Validation,
} from '@locmoe/run-format';
import { expertWidthOf, type RunConfig } from '../config/schema.js';
import type { OpenRun, RunView } from '../coordinator/run-view.js';
import type { Dataset } from '../data/dataset.js';
import { formatCount, formatDuration, formatNumberOf, formatShare, printable } from '../format.js';
import { isLoopback, parseAddress } from '../rpc/address.js';
import type { RunSnapshot } from '../run/run-listener.js';
import type { RunTotals } from '../run/run-totals.js';
import { httpUrl, pageUrl, tokenLine } from './page-url.js';

/** Facts about a run that a view needs besides its events. */
export interface ViewOptions {
  readonly place: Pick<RunRecord, 'address' | 'http'>;
  /** First action of the run: it starts its nodes, or waits for them. */
  readonly announcement: string;
  /** True if the page of the run is served beside its logs and metrics. */
  readonly hasPage: boolean;
  /** Token to print in the page's address; null to leave it out. */
  readonly token: string | null;
  readonly dataset: Dataset;
  /** Folder of runs, in the words of the user, in which the summary names its paths. */
  readonly runsDir: string;
  /** True to generate text at the end. */
  readonly samples: boolean;
}

/** Prints the events of a run that are plain lines of text, both in a terminal and in a log. */
export function lineView(
  run: OpenRun,
  options: ViewOptions,
  print: (line: string) => void,
): Pick<RunView, 'begun' | 'checkpoint' | 'generation' | 'print'> {
  return {
    begun() {
      for (const line of openingLines(run, options)) print(line);
    },
    checkpoint: ({ step, directory }) => print(`checkpoint at step ${step}: ${directory}`),
    generation({ generation, resumedFrom, nodes }) {
      const from = resumedFrom === null ? 'the beginning' : `step ${resumedFrom}`;
      print(`generation ${generation} starts from ${from} on ${formatNumberOf(nodes, 'node')}`);
    },
    print,
  };
}

/** Returns the first lines of a run: its layout, what it starts from, and the address of its page. */
function openingLines(
  { identity: { runId, config }, folder, forkedFrom, initFrom }: OpenRun,
  { place: { address, http }, announcement, hasPage, token }: ViewOptions,
): string[] {
  const { nodes, workersPerNode } = config.cluster;
  const layout = `${formatNumberOf(nodes, 'node')} x ${formatNumberOf(workersPerNode, 'worker')}`;
  return [
    `run ${runId}: ${layout}, router ${config.moe.router}, coordinator ${address}; ${announcement}`,
    ...(forkedFrom === null ? [] : [`it starts from step ${forkedFrom.step} of run ${forkedFrom.runId}`]),
    ...(initFrom === null ? [] : [weightsLine(initFrom, config)]),
    ...(http === undefined
      ? []
      : [
          hasPage ? `page: ${pageUrl(http, runId, token)}` : `logs and metrics: ${httpUrl(http, token)}`,
          ...(token === null ? [`  ${tokenLine(existsSync(folder.token) ? folder.token : null)}`] : []),
          ...tunnelLines(address, http),
        ]),
  ];
}

/** Explains how to reach a loopback server from another machine, if the nodes are on several machines. */
function tunnelLines(address: string, http: string): string[] {
  const { host, port } = parseAddress('http', http);
  if (!isLoopback(host) || isLoopback(parseAddress('coordinator', address).host)) return [];
  return [`  from another machine: ssh -L ${port}:${http} ${hostname()}`];
}

function weightsLine(
  { runId, step, inheritance }: NonNullable<RunRecord['initFrom']>,
  config: RunConfig,
): string {
  if (inheritance === undefined) return `it starts with the weights of step ${step} of run ${runId}`;
  const { noise, seed } = inheritance;
  const areCopies = config.moe.sharedExperts === 0 && expertWidthOf(config) === config.model.dFeedForward;
  const what = areCopies ? 'copies' : 'slices';
  const how =
    noise === 0 ? `exact ${what} of its feed-forward networks` : `${what} with noise ${noise}, seed ${seed}`;
  return `it grows from step ${step} of the dense run ${runId}: experts are ${how}`;
}

/** Formats validation losses, with the number of tokens of each mean and the number held out. */
export function validationLine({ step, domains }: Validation, dataset: Dataset): string {
  const byDomain = domains.map(({ domain, loss: each }) => `${domain} ${each.toFixed(3)}`).join('  ');
  const loss = meanLoss({ domains });
  const seen = domains.reduce((sum, { tokens }) => sum + tokens, 0);
  const held = dataset.domains.reduce((sum, { validation }) => sum + validation.ids.length, 0);
  const on = dataset.domains.some(({ validation }) => validation.marks !== null)
    ? `${formatCount(seen)} held-out tokens of answers`
    : `${formatCount(seen)} of ${formatCount(held)} held-out tokens`;
  return (
    `validation at step ${step}: loss ${loss.toFixed(3)}  perplexity ${Math.exp(loss).toFixed(1)}  (${byDomain})  ` +
    `on ${on}`
  );
}

export function restartLine({ generation, code, message }: FailureReport, restartsLeft: number): string {
  if (code === 'NODE_RETURNED')
    return `generation ${generation} ended: ${printable(message)}; going on with more`;
  return `generation ${generation} failed: ${printable(message)}; restarting (${formatNumberOf(restartsLeft, 'restart')} left)`;
}

/** Separator between the fields of the progress line. */
export const SEPARATOR = '  ';

/** Part of a run's totals about restarts that the progress line shows. */
export type RestartView = Pick<RunTotals, 'currentGeneration' | 'numRestarts' | 'lostS' | 'budget'>;

export function progressLine(
  step: GlobalStep,
  run: RunSnapshot,
  { currentGeneration, numRestarts, lostS, budget }: RestartView,
): string {
  const shares = locality(step.layers);
  const experts = expertsPerToken(step);
  const width = String(run.steps).length;
  return [
    `step ${String(step.step).padStart(width)}/${run.steps}`,
    step.loss === null ? 'skipped: not finite' : `loss ${step.loss.toFixed(3)}`,
    run.tokensPerS > 0 && `left ${formatDuration(run.secondsLeft)}`,
    run.tokensPerS > 0 && `${formatCount(run.tokensPerS)} tokens/s`,
    currentGeneration > 1 && `gen ${currentGeneration}`,
    numRestarts > 0 && `${formatNumberOf(budget.left, 'restart')} left`,
    numRestarts > 0 && `lost ${formatDuration(lostS)}`,
    shares &&
      `stayed on worker ${formatShare(shares.sameWorker)}, node ${formatShare(shares.sameNode)}, crossed ${formatShare(shares.otherNode)}`,
    experts !== null && `${experts.toPrecision(2)} experts/token`,
  ]
    .filter(Boolean)
    .join(SEPARATOR);
}
