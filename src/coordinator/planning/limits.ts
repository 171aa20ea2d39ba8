import { availableParallelism, freemem, totalmem } from 'node:os';
import { numStepsOf } from '@locmoe/run-format';
import { assertSharedRoom, freeSharedMemory } from '../../collectives/shm-segment.js';
import { sparesOf } from '../../config/cluster-sizes.js';
import type { ClusterConfig, RunConfig } from '../../config/schema.js';
import { TrainerError } from '../../errors.js';
import { formatCount, formatNumberOf } from '../../format.js';
import type { Logger } from '../../logger.js';
import { expertsInMemory, parameterCounts } from '../../model/parameter-counts.js';
import { leastRankMemory, segmentBytesOfNode } from '../../model/rank-memory.js';
import { heldExperts, routerPolicy } from '../../routing/index.js';
import { MAX_FRAME_PAYLOAD_BYTES } from '../../rpc/frame-codec.js';
import { learningRateAt } from '../../worker/lr-schedule.js';

/** Resources that a machine has for the processes of a run. */
export interface Machine {
  readonly cores: number;
  /** Memory of the machine, or of the container if its limit is lower. */
  readonly memoryBytes: number;
  /** Part of `memoryBytes` that other processes leave free. */
  readonly freeBytes: number;
  /** Free bytes in /dev/shm. */
  readonly freeSharedBytes: number;
}

/** With hundreds of processes per core, the machine would become unusable before anyone could stop them. */
const MAX_PROCESSES_PER_CORE = 32;
/** No machine has this much memory for one worker. */
const MAX_RANK_BYTES = 1e12;

export function thisMachine(): Machine {
  // Without a limit, `constrainedMemory` returns 0 or more than any machine has. Slurm gives its limit in
  // MiB, and ends a job that exceeds it even where it does not create a control group.
  const limits = [process.constrainedMemory(), Number(process.env.SLURM_MEM_PER_NODE ?? 0) * 2 ** 20];
  const memoryBytes = Math.min(totalmem(), ...limits.filter((bytes) => bytes > 0));
  return {
    cores: availableParallelism(),
    memoryBytes,
    freeBytes: Math.min(freemem(), memoryBytes),
    freeSharedBytes: freeSharedMemory(),
  };
}

/**
 * Refuses a run that this machine can never hold.
 *
 * @param warn called if the machine could hold the run, but lacks the free memory now
 * @param nodes number of the run's nodes that are processes of this machine, all by default
 * @throws TrainerError `BAD_CONFIG` if it cannot; `NO_RESOURCE` if /dev/shm has no room for the rings of all ranks
 */
export function assertMachineCanHold(
  config: RunConfig,
  machine: Machine,
  warn: (line: string) => void,
  nodes = config.cluster.nodes,
): void {
  const { workersPerNode } = config.cluster;
  const { cores, memoryBytes, freeBytes, freeSharedBytes } = machine;
  const processes = nodes * (1 + workersPerNode + sparesOf(config.cluster));
  if (processes > MAX_PROCESSES_PER_CORE * cores)
    throw new TrainerError(
      'BAD_CONFIG',
      `cluster.nodes, cluster.workersPerNode: ${nodes} nodes x ${workersPerNode} workers are ${processes} processes with agents and spares; on one machine with ${cores} cores at most ${MAX_PROCESSES_PER_CORE * cores} are started`,
    );
  const worldSize = nodes * workersPerNode;
  const bytes = worldSize * leastRankMemory(config).total;
  const need = `${describeRank(config)}; ${formatNumberOf(worldSize, 'rank')} on this machine would need ${gigabytes(bytes)}`;
  if (bytes > memoryBytes)
    throw new TrainerError('BAD_CONFIG', `${need}, and it has ${gigabytes(memoryBytes)}`);
  assertSharedRoom(nodes * segmentBytesOfNode(config), freeSharedBytes);
  if (bytes > freeBytes)
    warn(`${need}, and ${gigabytes(freeBytes)} are free: the kernel may kill one for lack of memory`);
}

/** Refuses a run on unknown machines if no machine could hold one of its ranks. */
export function assertAnyMachineCanHold(config: RunConfig): void {
  if (leastRankMemory(config).total > MAX_RANK_BYTES)
    throw new TrainerError(
      'BAD_CONFIG',
      `${describeRank(config)}; more than ${gigabytes(MAX_RANK_BYTES)} a rank is beyond any machine`,
    );
}

/**
 * Warns of a configured link on which one frame may take longer than the deadline of a collective: nothing arrives
 * until the frame is complete. Returns null if every frame arrives in time or there is no such link.
 */
export function slowLink({ nodes, interNodeLink, collectiveTimeoutS }: ClusterConfig): string | null {
  if (nodes === 1 || interNodeLink === null) return null;
  const { gbps, latencyMs } = interNodeLink;
  const bytes = Math.max(0, Math.floor(((collectiveTimeoutS - latencyMs / 1000) * gbps * 1e9) / 8));
  if (bytes >= MAX_FRAME_PAYLOAD_BYTES) return null;
  return `cluster.interNodeLink carries only ${formatCount(bytes)} bytes in cluster.collectiveTimeoutS (${collectiveTimeoutS} s), so collectives would time out: raise either`;
}

/** Warns of a run that ends during its learning-rate warm-up; returns null for any other. */
export function longWarmUp(config: RunConfig): string | null {
  const { warmupSteps, learningRate } = config.train;
  const numSteps = numStepsOf(config);
  if (warmupSteps <= numSteps) return null;
  const last = Number(learningRateAt(numSteps, numSteps, config.train).toPrecision(3));
  return `train.warmupSteps is ${warmupSteps}, and the run has ${formatNumberOf(numSteps, 'step')}: its learning rate rises to ${last} only, not to train.learningRate ${learningRate}`;
}

/** Warns of several experts per token with a router that does not have the field; returns null for any other run. */
export function unusedTopK({ moe: { expertsPerToken, router } }: RunConfig): string | null {
  if (expertsPerToken === 1 || 'expertsPerToken' in routerPolicy(router).fields) return null;
  return `moe.expertsPerToken ${expertsPerToken} changes nothing: router ${router} does not have this field`;
}

/** Warns of fewer experts than nodes, where local routing loses to hash routing (LocMoE, section 4.2). */
export function warnOfFewExperts({ moe, cluster }: RunConfig, logger: Logger): void {
  const numExperts = heldExperts(moe).count;
  if (numExperts >= cluster.nodes) return;
  logger.warn(
    { numExperts, nodes: cluster.nodes },
    `fewer experts (${numExperts}) than nodes (${cluster.nodes}): every node holds copies of some, and locality has little to win (moe.numExperts)`,
  );
}

function describeRank(config: RunConfig): string {
  const { moe, train, cluster } = config;
  const { activations, total } = leastRankMemory(config);
  const counts = parameterCounts(config);
  const { shared } = counts;
  const experts = expertsInMemory(config, counts);
  const sequences = train.globalBatch / (cluster.nodes * cluster.workersPerNode * train.microBatches);
  const fields =
    activations > total / 2
      ? 'train.globalBatch, train.microBatches, model.seqLen, model.vocabSize, model.numDenseLayers'
      : experts > shared
        ? 'moe.numExperts, model.dModel, model.dFeedForward, model.numSparseLayers'
        : 'model.dModel, model.dFeedForward, model.numDenseLayers, model.vocabSize';
  const more = [
    ...(moe.dFeedForward === null ? [] : ['moe.dFeedForward']),
    ...(moe.sharedExperts === 0 ? [] : ['moe.sharedExperts']),
  ];
  return `${[fields, ...more].join(', ')}: a rank would hold ${figure(shared + experts)} parameters and the activations of ${figure(sequences)} sequences, at least ${gigabytes(total)}`;
}

function gigabytes(bytes: number): string {
  return bytes < 1e10 ? `${(bytes / 1e9).toPrecision(2)} GB` : `${figure(bytes / 1e9)} GB`;
}

function figure(value: number): string {
  return value < 1e15 ? formatCount(value) : value.toPrecision(3);
}
