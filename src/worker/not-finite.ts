import { firstNotFinite } from '../checkpoint/floats.js';
import { allGather } from '../collectives/all-gather.js';
import { barrier } from '../collectives/barrier.js';
import type { Batch } from '../data/batch.js';
import { TrainerError } from '../errors.js';
import { tf } from '../ops/tensorflow.js';
import type { DomainLoss } from '../rpc/generated/messages.js';
import { VALIDATION_OPERATION } from '../run/not-finite.js';
import type { TrainState } from './train-step.js';

/**
 * Kinds of tensors, from cause to effect: a bad parameter spoils the activations behind it, a bad activation
 * the loss and so all gradients.
 */
const KINDS = ['parameter', 'activation', 'gradient'] as const;

/** A tensor of this rank that contains NaN or infinity. */
interface BadTensor {
  readonly kind: (typeof KINDS)[number];
  /** Place among the tensors of its kind, in the order in which they are computed. */
  readonly order: number;
  /** Description with the name of a parameter or of a part of the model. */
  readonly what: string;
  /** The NaN or infinity that was found in the tensor. */
  readonly value: number;
}

export interface NotFiniteAccount {
  readonly text: string;
  /** Layer of the first bad tensor; undefined if it is not in a layer. */
  readonly layer: number | undefined;
}

/** Remedy that error messages suggest. */
export const NOT_FINITE_REMEDY = 'lower train.learningRate or raise train.warmupSteps';

/**
 * Finds the first tensor that is not finite. A collective: every rank calls it after the same skipped step, whose gradients are
 * still there, or after the same validation. The forward pass is repeated to inspect its activations.
 *
 * @param batches this rank's batches of the step or validation
 * @param loss this rank's loss
 * @returns the account, on the rank to blame; the other ranks wait until its failure ends their wait
 * @throws TrainerError `ABORTED` on the other ranks
 */
export function explainNotFinite(
  state: TrainState,
  batches: readonly Batch[],
  loss: number,
): NotFiniteAccount {
  const { transport } = state;
  // Gradients are inspected first: an expert that is loaded into memory later may evict one that has gradients.
  const gradient = firstGradient(state);
  const activation = firstActivation(state, batches);
  const bad = firstParameter(state) ?? activation ?? gradient;
  // Sums over ranks have spread NaN from the culprit to the other ranks: only the culprit's own loss distinguishes it.
  const mine = Float64Array.of(
    bad === null ? KINDS.length : KINDS.indexOf(bad.kind),
    bad?.order ?? 0,
    Number.isFinite(loss) ? 1 : 0,
  );
  const all = allGather(transport, { mine, purpose: 'not finite' });
  const culprit = all.reduce((first, each, rank) => (isBefore(each, all[first]!) ? rank : first), 0);
  if (transport.topology.rank === culprit) return accountOf(bad, loss);
  barrier(transport, { purpose: 'end of the generation' });
  throw new TrainerError('INTERNAL', `rank ${culprit} went on although its step was not finite`);
}

/** Returns the error of a validation whose loss, equal on all ranks, is not finite; a collective. */
export function validationNotFinite(
  state: TrainState,
  batches: readonly Batch[],
  { domain, loss }: DomainLoss,
): TrainerError {
  const { text, layer } = explainNotFinite(state, batches, loss);
  return new TrainerError(
    'NOT_FINITE',
    `the validation loss of ${domain} is ${loss}: ${NOT_FINITE_REMEDY}; the first bad tensor is ${text}`,
    { layer, operation: VALIDATION_OPERATION },
  );
}

function isBefore(a: Float64Array, b: Float64Array): boolean {
  const differs = a.findIndex((value, i) => value !== b[i]);
  return differs >= 0 && a[differs]! < b[differs]!;
}

function accountOf(bad: BadTensor | null, loss: number): NotFiniteAccount {
  if (bad === null) return { text: `no tensor, but the loss of this rank, ${loss}`, layer: undefined };
  const [, layer, expert] = /\blayers\.(\d+)\.(?:experts\.(\d+))?/.exec(bad.what) ?? [];
  const place = [layer && `layer ${layer}`, expert && `expert ${expert}`].filter(Boolean).join(', ');
  return {
    text: `${bad.what}${place === '' ? '' : ` (${place})`}, which holds ${bad.value}`,
    layer: layer === undefined ? undefined : Number(layer),
  };
}

function firstParameter({ model }: TrainState): BadTensor | null {
  let order = 0;
  for (const { name, values } of model.parameters.entries()) {
    const at = firstNotFinite(values);
    if (at >= 0) return { kind: 'parameter', order, what: `parameter ${name}`, value: values[at]! };
    order++;
  }
  return null;
}

/** Finds the gradient that was spoiled first: the backward pass goes from the last parameter to the first and propagates NaN. */
function firstGradient({ model }: TrainState): BadTensor | null {
  let first: BadTensor | null = null;
  let order = 0;
  for (const { name, gradients } of model.parameters.entries()) {
    const at = firstNotFinite(gradients);
    if (at >= 0) first = { kind: 'gradient', order, what: `the gradient of ${name}`, value: gradients[at]! };
    order--;
  }
  return first;
}

/** Inspects the inputs of each layer's attention and experts. The routers' state does not change. */
function firstActivation({ model }: TrainState, batches: readonly Batch[]): BadTensor | null {
  let first: BadTensor | null = null;
  let order = 0;
  const look = (what: string, activation: tf.Tensor) => {
    const values = activation.dataSync<'float32'>();
    const at = firstNotFinite(values);
    if (at >= 0 && (first === null || order < first.order))
      first = { kind: 'activation', order, what, value: values[at]! };
    order++;
  };
  for (const batch of batches) {
    order = 0;
    tf.tidy(() => {
      model.loss(batch, {
        training: true,
        inspectAttention: (prefix, qkvTC) => look(`the queries, keys and values of ${prefix}`, qkvTC),
        inspect: (layer, xTD) => look(`the input of layers.${layer}.experts`, xTD),
      });
    });
  }
  model.skipStep();
  return first;
}
