import type { StepPart } from '@locmoe/run-format';
import { numStepsOf } from '@locmoe/run-format';
import { OPERATION_KINDS } from '@locmoe/run-format/operations';
import type { ExpertFile } from '../checkpoint/expert-file.js';
import { gradualAllReduce } from '../collectives/all-reduce.js';
import type { OperationStats, Transport } from '../collectives/transport.js';
import { addStats } from '../collectives/transport-stats.js';
import type { RunConfig } from '../config/schema.js';
import { wirePrecisionOf } from '../config/wire-precision.js';
import { type Batch, countedTargets } from '../data/batch.js';
import { failpoint } from '../failpoint.js';
import type { LayerStatistics } from '../model/moe-layer.js';
import type { PanguSigma } from '../model/pangu-sigma.js';
import { RunQueue } from '../os/run-queue.js';
import type { LayerReport, StepReport } from '../rpc/generated/messages.js';
import { forwardBackward, type Pass } from './forward-backward.js';
import {
  type GradientSyncOptions,
  type SnapshotVote,
  type SyncedGradients,
  syncGradients,
  trainedGradients,
} from './gradient-sync.js';
import { learningRateAt } from './lr-schedule.js';
import { expertsToUpdate, updateParameters } from './parameter-update.js';

/** Operations of the sparse layers; the all-reduce of gradients overlaps them. */
const SPARSE_LAYER_KINDS = OPERATION_KINDS.filter((kind) => kind !== 'all-reduce');

const runQueue = new RunQueue();

/** A rank's model with the optimizer's moments, and its transport. */
export interface TrainState {
  readonly config: RunConfig;
  readonly transport: Transport;
  readonly model: PanguSigma;
  /** With `moe.expertStorage.kind: file`. */
  readonly expertFile: ExpertFile | null;
  /** Ranks that hold the same experts, this one included. */
  readonly replicas: readonly number[];
}

export interface StepOutcome {
  readonly report: StepReport;
  /** As computed, finite or not: this rank's loss, with the auxiliary one, and what is equal on all ranks. */
  readonly found: { readonly loss: number } & Pick<SyncedGradients, 'norm' | 'numBadLosses'>;
  /** True if any rank was asked to stop; equal on all ranks, as is `isTimeUp`. */
  readonly stopAsked: boolean;
  /** True if train.maxHours had passed when the step began. */
  readonly isTimeUp: boolean;
  /** Of all ranks. */
  readonly snapshot: SnapshotVote;
}

type Wishes = Pick<GradientSyncOptions, 'timeUsed' | 'snapshot'>;
const NO_WISHES: Wishes = { timeUsed: 0, snapshot: { refusals: 1, cost: 0 } };

/**
 * One step: an update of all parameters. Every rank calls it with its own share of the global batch, split into equal
 * micro-batches. Gradients are summed over these, so that only the activations of one are held at a time, and
 * reduced over the ranks once, while the backward pass of the last goes on.
 *
 * @param step number of this update, counted from 1
 * @param wishes of this rank, which all ranks learn of, and the clock of the run
 * @param beforeUpdate is called before parameters and moments change
 * @param fetch brings to memory what the step is known to need; it counts as a part of the step
 * If a loss or the gradient is not finite, all ranks alike skip the step: parameters, moments and the routers' state
 * stay as they were.
 */
export function trainStep(
  state: TrainState,
  step: number,
  microBatches: readonly Batch[],
  wishes: Wishes = NO_WISHES,
  beforeUpdate: () => void = () => undefined,
  fetch: (() => void) | null = null,
): StepOutcome {
  const { config, transport, model } = state;
  const { train } = config;
  const { spans } = transport;
  const wirePrecision = wirePrecisionOf(config);
  transport.takeStats();
  transport.setProgress(step, 'forward');
  spans.begin('step');
  const started = performance.now();
  const cpu = process.cpuUsage();
  const queuedMs = runQueue.waitedMs;

  if (fetch !== null) {
    spans.next('fetch');
    fetch();
  }
  const sharedSum = gradualAllReduce(transport, {
    data: trainedGradients(model.parameters.shared),
    purpose: 'gradients',
    wirePrecision,
  });
  const sumOver = (of: (batch: Batch) => number) => microBatches.reduce((total, each) => total + of(each), 0);
  const numMeans = transport.topology.worldSize * microBatches.length;
  const passes = microBatches.map((batch, index) =>
    forwardBackward(state, step, batch, {
      numMeans,
      meanOver: sumOver(({ packed }) => packed?.numCounted ?? 0) / numMeans,
      isFirst: index === 0,
      onBackward:
        index === microBatches.length - 1
          ? () => sharedSum.advance(model.parameters.gradientsWholeFrom)
          : undefined,
    }),
  );
  const sum = (of: (pass: Pass) => number) => passes.reduce((total, pass) => total + of(pass), 0);
  const loss = sum((pass) => pass.loss) / passes.length;
  const auxiliaryLoss = sum((pass) => pass.auxiliaryLoss) / passes.length;
  const touched = expertsToUpdate(model);
  const touchedRanges = touched?.flatMap(({ ranges }) => ranges) ?? null;
  if (failpoint('step.gradients') === 'nan')
    model.parameters.expert.gradients[touchedRanges?.[0]?.begin ?? 0] = Number.NaN;

  transport.setProgress(step, 'reduce');
  spans.begin('reduce');
  const { norm, numBadLosses, timeUsed, ...asked } = syncGradients({
    transport,
    parameters: model.parameters,
    replicas: state.replicas,
    touched: touchedRanges,
    sharedSum,
    wirePrecision,
    loss: loss + auxiliaryLoss,
    ...wishes,
  });
  spans.end();
  const reduceStats = transport.takeStats();

  const skipped = numBadLosses > 0 || !Number.isFinite(norm);
  if (!skipped) beforeUpdate();
  const reduced = performance.now();
  transport.setProgress(step, 'optimizer');
  spans.begin('optimizer');
  const learningRate = learningRateAt(step, numStepsOf(config), train, timeUsed);
  if (skipped) model.skipStep();
  else updateParameters(model, train, { step, learningRate, norm, touched });
  spans.end();
  const ended = performance.now();
  spans.end();

  const stats = [...passes.flatMap((pass) => pass.stats), reduceStats];
  const reduction = addStats(stats, ['all-reduce']);
  const exchange = addStats(stats, SPARSE_LAYER_KINDS);
  const allToAll = addStats(stats, ['all-to-all']);
  return {
    ...asked,
    isTimeUp: timeUsed >= 1,
    found: { loss: loss + auxiliaryLoss, norm, numBadLosses },
    report: {
      step,
      rank: transport.topology.rank,
      skipped,
      ...(skipped ? NOTHING : { loss, auxiliaryLoss, gradientNorm: norm }),
      learningRate,
      tokens: sumOver(({ tokenIds }) => tokenIds.length),
      answerTokens: microBatches[0]!.packed ? sumOver(numCounted) : 0,
      stepMs: ended - started,
      partsMs: {
        forward: sum((pass) => pass.forwardMs),
        backward: sum((pass) => pass.backwardMs),
        exchange: busyMs(exchange),
        allReduce: busyMs(reduction),
        optimizer: ended - reduced,
        waiting: exchange.waitMs + reduction.waitMs,
      } satisfies Record<StepPart, number>,
      layers: skipped
        ? []
        : passes[0]!.layers.map((_, i) => layerReport(passes.map(({ layers }) => layers[i]!))),
      bytesSameNode: exchange.bytesSameNode,
      bytesOtherNode: exchange.bytesOtherNode,
      allToAllMs: allToAll.ms,
      allToAllWaitMs: allToAll.waitMs,
      cpuMs: cpuMsSince(cpu),
      queuedMs: runQueue.waitedMs - queuedMs,
    },
  };
}

function numCounted(batch: Batch): number {
  return countedTargets(batch).reduce((total, each) => total + each, 0);
}

/** What a skipped step reports of itself: JSON has no NaN. */
const NOTHING = { loss: 0, auxiliaryLoss: 0, gradientNorm: 0 };

/** @param batches one layer in each micro-batch */
function layerReport(batches: readonly LayerStatistics[]): LayerReport {
  const sum = (of: (layer: LayerStatistics) => number) =>
    batches.reduce((total, layer) => total + of(layer), 0);
  const byExpert = (of: (layer: LayerStatistics) => Int32Array | Float64Array) =>
    Array.from(of(batches[0]!), (_, expert) => sum((layer) => of(layer)[expert]!));
  return {
    layer: batches[0]!.layer,
    routed: byExpert(({ routedE }) => routedE),
    kept: byExpert(({ keptE }) => keptE),
    overCapacity: byExpert(({ overCapacityE }) => overCapacityE),
    notChosen: byExpert(({ notChosenE }) => notChosenE),
    // Reports travel as JSON, which has no infinity.
    capacity: byExpert(({ capacityE }) => capacityE).map((capacity) =>
      capacity === Infinity ? 0 : capacity,
    ),
    sameWorker: sum(({ sameWorker }) => sameWorker),
    sameNode: sum(({ sameNode }) => sameNode),
    otherNode: sum(({ otherNode }) => otherNode),
    rowBytes: batches[0]!.rowBytes,
    cosineSum: sum(({ gateCosine }) => gateCosine?.sum ?? 0),
    cosineCount: sum(({ gateCosine }) => gateCosine?.count ?? 0),
  };
}

function cpuMsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

function busyMs({ ms, waitMs }: OperationStats): number {
  return ms - waitMs;
}
