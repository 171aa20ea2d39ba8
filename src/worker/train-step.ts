import { numStepsOf } from '@locmoe/run-format';
import type { ExpertFile } from '../checkpoint/expert-file.js';
import { type GradualAllReduce, gradualAllReduce } from '../collectives/all-reduce.js';
import type { Transport } from '../collectives/transport.js';
import type { RunConfig } from '../config/schema.js';
import { wirePrecisionOf } from '../config/wire-precision.js';
import type { Batch } from '../data/batch.js';
import { failpoint } from '../failpoint.js';
import type { LanguageModel } from '../model/language-model.js';
import type { DecisionChange, RoutingInspector } from '../model/moe-layer.js';
import type { ChoiceMeter } from './choice-meter.js';
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
import { type MeasuredStep, StepMeter } from './step-meter.js';

/** A rank's model with the optimizer's moments, and its transport. */
export interface TrainState {
  readonly config: RunConfig;
  readonly transport: Transport;
  readonly model: LanguageModel;
  /** File of the experts with `moe.expertStorage.kind: file`; otherwise null. */
  readonly expertFile: ExpertFile | null;
  /** Ranks that hold the same experts, this one included. */
  readonly replicas: readonly number[];
}

export interface StepOutcome extends MeasuredStep {
  /** Values as computed, finite or not: this rank's loss, including the auxiliary loss, and values equal on all ranks. */
  readonly found: { readonly loss: number } & Pick<SyncedGradients, 'norm' | 'numBadLosses'>;
  /** True if any rank was asked to stop; equal on all ranks, as is `isTimeUp`. */
  readonly stopAsked: boolean;
  /** True if train.maxHours had passed when the step began. */
  readonly isTimeUp: boolean;
  /** Sum of the votes of all ranks. */
  readonly snapshot: SnapshotVote;
}

export interface StepInput {
  /** Number of this update, counted from 1. */
  readonly step: number;
  /** This rank's share of the global batch, in equal micro-batches. */
  readonly batches: readonly Batch[];
  /** This rank's vote on a snapshot, and the time used by its clock; both are summed over all ranks. */
  readonly wishes?: Pick<GradientSyncOptions, 'timeUsed' | 'snapshot'>;
  /** Loads into memory what the step is known to need; counts as part of the step. */
  readonly fetch?: (() => void) | null;
  /** Returns the inspector of a micro-batch's routing decisions, given the index of the micro-batch. */
  readonly inspectorOf?: ((microBatch: number) => RoutingInspector) | undefined;
  /** Changes of the routing decisions, by micro-batch. */
  readonly changes?: readonly DecisionChange[] | undefined;
  /** Measures what decides the choices; without it the step reports no such measures. */
  readonly choices?: ChoiceMeter;
  /** Called before parameters and moments change. */
  readonly beforeUpdate?: () => void;
}

const NO_WISHES = { timeUsed: 0, snapshot: { refusals: 1, cost: 0, localCost: 0 } };

/**
 * Does one training step, an update of all parameters; every rank calls it. Gradients are summed over the
 * micro-batches, so that only the activations of one micro-batch are held at a time. The sums are reduced over the
 * ranks once, during the backward pass of the last micro-batch.
 *
 * If a loss or the gradient is not finite, all ranks skip the step: parameters, moments and the routers' state stay as they were.
 */
export function trainStep(state: TrainState, input: StepInput): StepOutcome {
  const { config, transport, model } = state;
  const { step, batches, wishes = NO_WISHES, fetch, beforeUpdate } = input;
  const { spans } = transport;
  transport.setProgress(step, 'forward');
  const meter = new StepMeter(transport);
  spans.begin('step');
  if (fetch) {
    spans.next('fetch');
    fetch();
  }
  const wirePrecision = wirePrecisionOf(config);
  const sharedSum = gradualAllReduce(transport, {
    data: trainedGradients(model.parameters.shared),
    purpose: 'gradients',
    wirePrecision,
  });
  const passes = forwardBackwardOfAll(state, input, sharedSum);
  const mean = (of: (pass: Pass) => number) =>
    passes.reduce((sum, pass) => sum + of(pass), 0) / passes.length;
  const loss = mean((pass) => pass.loss);
  const auxiliaryLoss = mean((pass) => pass.auxiliaryLoss);
  const touched = expertsToUpdate(model);
  const touchedRanges = touched?.flatMap(({ ranges }) => ranges) ?? null;
  if (failpoint('step.gradients') === 'nan') model.parameters.spoilGradient(touchedRanges?.[0] ?? null);

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
  meter.endReduction();

  const skipped = numBadLosses > 0 || !Number.isFinite(norm);
  if (!skipped) beforeUpdate?.();
  meter.beginUpdate();
  transport.setProgress(step, 'optimizer');
  spans.begin('optimizer');
  const learningRate = learningRateAt(step, numStepsOf(config), config.train, timeUsed);
  if (skipped) model.skipStep();
  else updateParameters(model, config.train, { step, learningRate, norm, touched });
  spans.end();
  spans.end();
  return {
    ...asked,
    isTimeUp: timeUsed >= 1,
    found: { loss: loss + auxiliaryLoss, norm, numBadLosses },
    ...meter.report({
      step,
      batches,
      passes,
      loss,
      auxiliaryLoss,
      norm,
      skipped,
      learningRate,
      choices: input.choices?.take(),
    }),
  };
}

/** Runs all micro-batches; shared gradients are reduced during the last one's backward pass. */
function forwardBackwardOfAll(
  state: TrainState,
  { step, batches, inspectorOf, changes, choices }: StepInput,
  sharedSum: GradualAllReduce,
): Pass[] {
  const { parameters } = state.model;
  const { worldSize, numNodes } = state.transport.topology;
  const numMeans = worldSize * batches.length;
  const numCounted = batches.reduce((total, { packed }) => total + (packed?.numCounted ?? 0), 0);
  return batches.map((batch, index) => {
    const inspectors = [inspectorOf?.(index), choices?.inspectorOf(batch)].filter(
      (each) => each !== undefined,
    );
    return forwardBackward(state, step, batch, {
      numMeans,
      meanOver: numCounted / numMeans,
      isFirst: index === 0,
      inspect:
        inspectors.length === 0
          ? undefined
          : (...decided) => {
              for (const inspect of inspectors) inspect(...decided);
            },
      change: changes?.[index],
      onBackward:
        numNodes > 1 && index === batches.length - 1
          ? () => sharedSum.advance(parameters.gradientsWholeFrom)
          : undefined,
    });
  });
}
