import { openCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { committedFolders } from 'locmoe/internal/checkpoint/folders';
import type { Batch } from 'locmoe/internal/data/batch';
import type { Dataset } from 'locmoe/internal/data/dataset';
import { type Inference, openInference } from 'locmoe/internal/inference/inference';
import { tf } from 'locmoe/internal/ops/tensorflow';
import { type RoutingDecision, routerPolicy } from 'locmoe/internal/routing/index';
import { mean } from '../../packages/bench/src/statistics.js';
import { validationBatch } from '../kit/validation-batch.js';
import { calinskiHarabasz, Histogram, shareOfSame } from './distributions.js';

// Shapes: T tokens, d hidden size, E experts.

/** Sequences probed per domain. */
const NUM_SEQUENCES = 8;
const NUM_BINS = 40;

export const COSINE_KINDS = ['same expert', 'different experts', 'token and gate'] as const;
export type CosineKind = (typeof COSINE_KINDS)[number];

export interface CosineBin {
  readonly middle: number;
  readonly share: number;
}

/** Distribution of the tokens of one run in hidden space, from its checkpoints on validation text. */
export interface ProbeResult {
  /** Calinski-Harabasz index of tokens by expert, per checkpoint, mean over sparse layers. */
  readonly calinskiHarabasz: readonly { readonly step: number; readonly index: number }[];
  /**
   * Share of the tokens that have the expert which they had at the checkpoint before, mean over sparse layers; without
   * tokens that had none. Absent in results that are older than this measure.
   */
  readonly stayed?: readonly { readonly step: number; readonly share: number }[];
  /**
   * Cosines at the last checkpoint, over all sparse layers; a router without gate vectors has no third kind.
   */
  readonly cosines: Readonly<Partial<Record<CosineKind, readonly CosineBin[]>>>;
}

/** Tokens of one sparse layer, their experts and their similarity to the gates. */
interface LayerView {
  readonly xTD: Float32Array;
  readonly expertT: Int32Array;
  /** Cosine of each token and the gate of its expert, [T]; null without gate vectors. */
  readonly gateCosineT: Float32Array | null;
}

/**
 * Evaluates each checkpoint of a run on validation text in this process, with all experts.
 *
 * @throws TrainerError `BAD_CHECKPOINT` if a checkpoint is damaged
 */
export function probeRun(checkpointsDir: string, dataset: Dataset): ProbeResult {
  const folders = committedFolders(checkpointsDir).reverse();
  let views: LayerView[] = [];
  const seen = folders.map((folder) => {
    const checkpoint = openCheckpoint(folder);
    const inference = openInference(checkpoint);
    const batch = validationBatch(inference, dataset, NUM_SEQUENCES);
    views = viewLayers(inference, batch);
    inference.model.dispose();
    return {
      step: checkpoint.manifest.step,
      index: mean(views.map(({ xTD, expertT }) => calinskiHarabasz(xTD, expertT))),
      expertsOfLayers: views.map(({ expertT }) => expertT),
    };
  });
  return {
    calinskiHarabasz: seen.map(({ step, index }) => ({ step, index })),
    stayed: seen.slice(1).map(({ step, expertsOfLayers }, i) => ({
      step,
      share: mean(
        expertsOfLayers.map((expertT, layer) => shareOfSame(seen[i]!.expertsOfLayers[layer]!, expertT)),
      ),
    })),
    cosines: cosinesOf(views),
  };
}

/** Router inputs: tokens after the layer norm, before dispatch. */
function viewLayers(inference: Inference, batch: Batch): LayerView[] {
  const views: LayerView[] = [];
  tf.tidy(() => {
    inference.model.loss(batch, {
      training: false,
      inspect: (layer, xTD, decision) => {
        const expertT = firstChoices(decision);
        views.push({
          xTD: xTD.dataSync<'float32'>().slice(),
          expertT,
          gateCosineT: gateCosines(inference, layer, xTD, expertT),
        });
      },
    });
  });
  return views;
}

/** The first expert of each token, [T]; -1 for none. */
function firstChoices({ expertsTK, numChoices }: RoutingDecision): Int32Array {
  return Int32Array.from({ length: expertsTK.length / numChoices }, (_, t) => {
    const choices = expertsTK.subarray(t * numChoices, (t + 1) * numChoices);
    return choices.find((expert) => expert >= 0) ?? -1;
  });
}

function gateCosines(
  { config, model }: Inference,
  layer: number,
  xTD: tf.Tensor2D,
  expertT: Int32Array,
): Float32Array | null {
  const { moe } = config;
  const policy = routerPolicy(moe.router);
  if (policy.gateCosines === null) return null;
  const parameters = new Map(
    policy
      .parameters(moe, config.model.dModel)
      .map(({ name }) => [name, model.parameters.get(`layers.${layer}.router.${name}`)]),
  );
  const cosinesTE = policy.gateCosines(moe, { xTD, parameters });
  const cosines = cosinesTE.dataSync<'float32'>();
  return Float32Array.from(expertT, (expert, t) =>
    expert < 0 ? Number.NaN : cosines[t * moe.numExperts + expert]!,
  );
}

/** [A, d] and [B, d] -> [A, B] */
function cosineOfRows(a: tf.Tensor2D, b: tf.Tensor2D): tf.Tensor2D {
  return tf.matMul(unitRows(a), unitRows(b), false, true);
}

function unitRows(rows: tf.Tensor2D): tf.Tensor2D {
  return tf.div(rows, tf.maximum(tf.norm(rows, 2, 1, true), 1e-12));
}

/** Cosines of all pairs of tokens of a layer, and of each token with its gate. */
function cosinesOf(views: readonly LayerView[]): ProbeResult['cosines'] {
  const same = new Histogram(-1, 1, NUM_BINS);
  const different = new Histogram(-1, 1, NUM_BINS);
  const gate = new Histogram(-1, 1, NUM_BINS);
  for (const { xTD, expertT, gateCosineT } of views) {
    const numTokens = expertT.length;
    const gramTT = tf.tidy(() => {
      const tokensTD = tf.tensor2d(xTD, [numTokens, xTD.length / numTokens]);
      return cosineOfRows(tokensTD, tokensTD).dataSync<'float32'>().slice();
    });
    for (let a = 0; a < numTokens; a++) {
      if (expertT[a]! < 0) continue;
      if (gateCosineT !== null) gate.add(gateCosineT[a]!);
      for (let b = 0; b < a; b++)
        if (expertT[b]! >= 0) (expertT[a] === expertT[b] ? same : different).add(gramTT[a * numTokens + b]!);
    }
  }
  return {
    'same expert': same.shares,
    'different experts': different.shares,
    ...(views.some(({ gateCosineT }) => gateCosineT !== null) && { 'token and gate': gate.shares }),
  };
}
