import { loadConfig } from 'locmoe/internal/config/resolve';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { assertAnyMachineCanHold } from 'locmoe/internal/coordinator/planning/limits';
import { TrainerError } from 'locmoe/internal/errors';
import { type Link, parseLink } from './link.js';
import type { PlanInput } from './predict.js';
import { type MachineProfile, readProfile } from './profile.js';
import { assumptionOf, type RoutingAssumption } from './routing-model.js';

export interface PlanOptions {
  readonly config: string;
  readonly set: readonly string[];
  readonly nodes?: number;
  readonly workersPerNode?: number;
  readonly link?: string;
  readonly coresPerNode?: number;
  /** All nodes are processes of one machine and share its cores. */
  readonly sharedMachine: boolean;
  readonly flops?: number;
  readonly keptPerToken?: number;
  readonly localGain?: number;
  readonly imbalance?: number;
  readonly calibration?: string;
  readonly json: boolean;
}

/** Maximum number of ranks, and of experts: a plan iterates over all, and with more would take minutes. */
const MOST = 16_384;

/** @throws TrainerError `BAD_CONFIG` or `BAD_INPUT` for invalid options */
export function planInput(options: PlanOptions): PlanInput {
  const { nodes, workersPerNode } = options;
  const link = options.link === undefined ? null : parseLink(options.link);
  if (options.sharedMachine && options.coresPerNode !== undefined)
    throw new TrainerError(
      'BAD_INPUT',
      '--shared-machine and --cores-per-node exclude each other: the first shares the cores of the calibrated machine out among the nodes',
    );
  if (options.localGain !== undefined && options.localGain > 1)
    throw new TrainerError('BAD_INPUT', `--local-gain ${options.localGain}: a share is at most 1`);
  const config = loadConfig(options.config, { sets: options.set, nodes, workersPerNode });
  const { cluster } = config;
  assertAnyMachineCanHold(config);
  const worldSize = cluster.nodes * cluster.workersPerNode;
  if (Math.max(worldSize, config.moe.numExperts) > MOST)
    throw new TrainerError(
      'BAD_CONFIG',
      `cluster.nodes, cluster.workersPerNode, moe.numExperts: ${worldSize} workers and ${config.moe.numExperts} experts; a plan covers at most ${MOST} of each`,
    );
  const profile = withFlops(readProfile(options.calibration), options.flops);
  return {
    config,
    profile,
    coresPerNode:
      options.coresPerNode ?? (options.sharedMachine ? profile.cores / cluster.nodes : profile.cores),
    link: link ?? configuredLink(config),
    routing: routingOf(options, assumptionOf(config)),
  };
}

function withFlops(profile: MachineProfile, flopsPerS: number | undefined): MachineProfile {
  if (flopsPerS === undefined) return profile;
  return { ...profile, compute: { ...profile.compute, flopsPerS } };
}

/** Sums the links of a node: `cluster.interNodeLink` limits each stream, and a node has one to each other node. */
export function configuredLink({ cluster: { interNodeLink, nodes } }: RunConfig): Link | null {
  if (interNodeLink === null) return null;
  const { gbps, latencyMs } = interNodeLink;
  return { bytesPerS: (Math.max(1, nodes - 1) * gbps * 1e9) / 8, latencyS: latencyMs / 1000 };
}

function routingOf(
  { keptPerToken, localGain, imbalance }: PlanOptions,
  assumed: RoutingAssumption,
): RoutingAssumption {
  const given = Object.entries({ keptPerToken, localGain, imbalance }).filter(
    ([, each]) => each !== undefined,
  );
  if (given.length === 0) return assumed;
  const names = given.map(([name]) => name).join(', ');
  return { ...assumed, ...Object.fromEntries(given), source: `given: ${names}; ${assumed.source}` };
}
