import { type GradualAllReduce, gradualAllReduce } from '../collectives/all-reduce.js';
import {
  OPERATION_KINDS,
  type OperationStats,
  type Transport,
  type TransportStats,
} from '../collectives/transport.js';
import { addStats } from '../collectives/transport-stats.js';
import { numStepsOf } from '../config/run-length.js';
import type { RunConfig } from '../config/schema.js';
import type { Batch } from '../data/batch.js';
import { TrainerError } from '../errors.js';
import type { LayerStatistics } from '../model/moe-layer.js';
import type { LossOutput, PanguSigma } from '../model/pangu-sigma.js';
import { tf } from '../ops/tensorflow.js';
import type { LayerReport, StepReport } from '../rpc/messages.js';
import { syncGradients } from './gradient-sync.js';
import { learningRateAt } from './lr-schedule.js';
import { adamW } from './optimizer.js';

/** Operations of the sparse layers; the all-reduce of gradients overlaps them. */
const SPARSE_LAYER_KINDS = OPERATION_KINDS.filter((kind) => kind !== 'all-reduce');

/** A rank's model with the optimizer's moments, and its transport. */
export interface TrainState {
  readonly config: RunConfig;
  readonly transport: Transport;
  readonly model: PanguSigma;
  /** Ranks that hold the same experts, this one included. */
  readonly replicas: readonly number[];
}

export interface StepOutcome {
  readonly report: StepReport;
  /** True if any rank was asked to stop; equal on all ranks. */
  readonly stopAsked: boolean;
}

/**
 * One update of all parameters. Every rank calls it with its own share of the global batch.
 *
 * @param step number of this update, counted from 1
 * @throws TrainerError `NOT_FINITE` on all ranks alike, before any update, if the gradient norm is NaN or
 *   infinite
 */
export function trainStep(state: TrainState, step: number, batch: Batch): StepOutcome {
  const { config, transport, model } = state;
  const { train } = config;
  transport.takeStats();
  const started = performance.now();

  transport.setProgress(step, 'forward');
  const sharedSum = gradualAllReduce(transport, {
    data: model.parameters.shared.gradients,
    purpose: 'gradients',
  });
  const pass = forwardBackward(state, step, batch, sharedSum);
  const passed = performance.now();
  const passStats = transport.takeStats();

  transport.setProgress(step, 'reduce');
  const { norm, stopAsked } = syncGradients(transport, model.parameters, state.replicas, sharedSum);
  const reduced = performance.now();
  const reduceStats = transport.takeStats();
  if (!Number.isFinite(norm))
    throw new TrainerError(
      'NOT_FINITE',
      `the gradient norm is ${norm} (loss of this rank ${pass.loss}); lower train.learningRate or raise ` +
        'train.warmupSteps, and resume',
    );

  transport.setProgress(step, 'optimizer');
  const learningRate = learningRateAt(step, numStepsOf(config), train);
  const options = { ...train, step, learningRate, gradientScale: Math.min(1, train.clipNorm / norm) };
  adamW(model.parameters.shared, options);
  adamW(model.parameters.expert, { ...options, epsilon: train.expertEpsilon });
  model.parameters.pushValues();
  const ended = performance.now();

  const stats = [pass.forwardStats, passStats, reduceStats];
  const reduction = addStats(stats, ['all-reduce']);
  const exchange = addStats(stats, SPARSE_LAYER_KINDS);
  const allToAll = addStats(stats, ['all-to-all']);
  return {
    stopAsked,
    report: {
      step,
      rank: transport.topology.rank,
      loss: pass.loss,
      auxiliaryLoss: pass.auxiliaryLoss,
      gradientNorm: norm,
      learningRate,
      tokens: batch.tokenIds.length,
      stepMs: ended - started,
      partsMs: {
        forward: pass.forwardMs - addStats([pass.forwardStats]).ms,
        backward: passed - started - pass.forwardMs - addStats([passStats]).ms,
        exchange: busyMs(exchange),
        allReduce: busyMs(reduction),
        optimizer: ended - reduced,
        waiting: exchange.waitMs + reduction.waitMs,
      },
      layers: pass.layers.map(layerReport),
      bytesSameNode: exchange.bytesSameNode,
      bytesOtherNode: exchange.bytesOtherNode,
      allToAllMs: allToAll.ms,
      allToAllWaitMs: allToAll.waitMs,
    },
  };
}

function layerReport(layer: LayerStatistics): LayerReport {
  const { sameWorker, sameNode, otherNode, rowBytes, gateCosine } = layer;
  return {
    layer: layer.layer,
    routed: [...layer.routedE],
    kept: [...layer.keptE],
    overCapacity: [...layer.overCapacityE],
    notChosen: [...layer.notChosenE],
    // Reports travel as JSON, which has no infinity.
    capacity: Array.from(layer.capacityE, (capacity) => (capacity === Infinity ? 0 : capacity)),
    ...{ sameWorker, sameNode, otherNode, rowBytes },
    cosineSum: gateCosine?.sum ?? 0,
    cosineCount: gateCosine?.count ?? 0,
  };
}

interface Pass {
  readonly loss: number;
  readonly auxiliaryLoss: number;
  readonly layers: LossOutput['layers'];
  readonly forwardMs: number;
  readonly forwardStats: TransportStats;
}

/**
 * Writes the gradient of (loss + auxiliary loss) / world size to the flat arrays: its sum over ranks is the
 * mean's.
 */
function forwardBackward(
  { model, transport }: TrainState,
  step: number,
  batch: Batch,
  sharedSum: GradualAllReduce,
): Pass {
  const started = performance.now();
  let pass: Pass | undefined;
  model.parameters.computeGradients(() => {
    const { crossEntropy, auxiliaryLoss, layers } = model.loss(batch, {
      training: true,
      onBackward: () => sharedSum.advance(model.parameters.gradientsWholeFrom),
    });
    const objective: tf.Scalar = tf.div(tf.add(crossEntropy, auxiliaryLoss), transport.topology.worldSize);
    pass = {
      loss: crossEntropy.dataSync()[0],
      auxiliaryLoss: auxiliaryLoss.dataSync()[0],
      layers,
      forwardMs: performance.now() - started,
      forwardStats: transport.takeStats(),
    };
    transport.setProgress(step, 'backward');
    return objective;
  });
  return pass!;
}

function busyMs({ ms, waitMs }: OperationStats): number {
  return ms - waitMs;
}
