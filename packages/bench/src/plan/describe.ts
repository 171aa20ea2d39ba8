import { sparesOf } from 'locmoe/internal/config/cluster-sizes';
import { formatCount, formatNumberOf, formatTable } from 'locmoe/internal/format';
import { MODEL_PARTS } from 'locmoe/internal/model/work';
import { routerPolicy } from 'locmoe/internal/routing/index';
import { type PlanOptions, planInput } from './inputs.js';
import { formatLink } from './link.js';
import { MOST_RANKS } from './measure/exchange-costs.js';
import { type Plan, type PlanInput, predict, TIME_PARTS } from './predict.js';
import { workingConfig } from './routing-model.js';

const ms = (value: number) => value.toFixed(1);
const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
const giga = (flops: number) => (flops / 1e9).toFixed(3);
const mega = (bytes: number) => (bytes / 1e6).toFixed(1);
const trimmed = (value: number) => String(Number(value.toPrecision(3)));

export function describePlan(input: PlanInput, plan: Plan): string {
  const { config, profile, coresPerNode, link, routing } = input;
  const { cluster, moe } = config;
  const { trained, ...parameters } = plan.parameters;
  const [held, moved] = [parameters, trained].map(({ shared, expertsOfRank }) => shared + expertsOfRank) as [
    number,
    number,
  ];
  return [
    `${config.name}, router ${moe.router}, ${cluster.exchange} exchange: ${formatNumberOf(cluster.nodes, 'node')} x ${formatNumberOf(cluster.workersPerNode, 'worker')}`,
    `step ${ms(plan.stepMs)} ms, ${formatCount(plan.tokensPerS)} tokens/s${microBatchesOf(config)}`,
    formatTable([
      ['part', 'ms', 'share'],
      ...TIME_PARTS.map((part) => [part, ms(plan.partsMs[part]), percent(plan.partsMs[part] / plan.stepMs)]),
    ]),
    'work of a rank in a step, GFLOP',
    formatTable([
      ['part', 'forward', 'backward'],
      ...MODEL_PARTS.map((part) => [
        part,
        giga(plan.work[part].forward.flops),
        giga(plan.work[part].backward.flops),
      ]),
    ]),
    `memory of a rank ${mega(plan.memory.total)} MB, of the spares of a node ${mega(sparesOf(cluster) * plan.memory.process)} MB, shared memory of a node ${mega(plan.segmentBytesOfNode)} MB`,
    formatTable([
      ['part', 'MB'],
      ...Object.entries(plan.memory)
        .filter(([part]) => part !== 'total')
        .map(([part, bytes]) => [part, mega(bytes)]),
    ]),
    'bytes of the sparse layers in a step, all ranks, MB',
    formatTable([
      ['tier', 'MB'],
      ['same worker', mega(plan.traffic.sameWorkerBytes)],
      ['same node', mega(plan.traffic.sameNodeBytes)],
      ['other node', mega(plan.traffic.otherNodeBytes)],
    ]),
    `messages between nodes in these exchanges: ${formatCount(plan.traffic.messagesBetweenNodes)}`,
    `parameters: ${formatCount(parameters.model)} in the model, ${formatCount(held)} on a rank${moved === held ? '' : `, ${formatCount(moved)} of them trained`}`,
    `calibration: ${profile.machine}, ${profile.date}${isMeasured(input) ? '' : `, which has not measured router ${moe.router}`}; ${trimmed(coresPerNode)} cores for a node; link ${link === null ? 'none but the agents' : formatLink(link)}`,
    `routing: ${routing.keptPerToken.toFixed(2)} choices kept for each token, ${percent(routing.localGain)} brought home from other nodes, busiest rank ${routing.imbalance.toFixed(2)} x the mean (${routing.source})`,
  ].join('\n');
}

function microBatchesOf({ train: { microBatches } }: PlanInput['config']): string {
  return microBatches === 1 ? '' : `, ${microBatches} micro-batches`;
}

/** Whether the calibration covers the router; if not, an estimate by its rule is used. */
function isMeasured({ config, profile }: PlanInput): boolean {
  return workingConfig(config).moe.router in profile.compute.routerTokenNs;
}

/**
 * Lists the respects in which a plan goes beyond what its calibration has measured or the router's rule says; empty if there are
 * none.
 */
function extrapolations({ config, profile, coresPerNode }: PlanInput): string[] {
  const { nodes, workersPerNode } = config.cluster;
  const numRanks = nodes * workersPerNode;
  const workersPerCore = workersPerNode / coresPerNode;
  const mostPerCore = profile.compute.slowdown.at(-1)!.processesPerCore;
  const { moe, model } = workingConfig(config);
  const { device } = config.train;
  return [
    ...(device !== 'cpu'
      ? [`train.device ${device}: the calibration is of a processor, and so are these times and the memory`]
      : []),
    ...(routerPolicy(moe.router).rule(moe, model.dModel) === null
      ? [
          `router ${moe.router} has no rule, so it counts as a dense gate that chooses one expert for each token`,
        ]
      : []),
    ...(numRanks > MOST_RANKS
      ? [
          `costs of messages are fitted on up to ${MOST_RANKS} ranks; ${formatCount(numRanks)} is an extrapolation`,
        ]
      : []),
    ...(workersPerCore > mostPerCore
      ? [
          `the slowdown is measured with up to ${mostPerCore} workers a core; ` +
            `${Number(workersPerCore.toPrecision(3))} is an extrapolation`,
        ]
      : []),
  ];
}

/**
 * `locmoe plan`: prints the predicted step.
 *
 * @throws TrainerError `BAD_CONFIG` or `BAD_INPUT` for invalid options
 */
export function printPlan(options: PlanOptions): void {
  const input = planInput(options);
  const plan = predict(input);
  const beyond = extrapolations(input);
  if (options.json) console.log(JSON.stringify({ ...plan, extrapolations: beyond }, null, 2));
  else console.log([describePlan(input, plan), ...beyond.map((each) => `note: ${each}`)].join('\n'));
}
