import { tf } from '../../ops/tensorflow.js';
import { gatherCounts } from '../capacity/gather-counts.js';
import type { RouterContext, RoutingDecision } from '../router.js';
import { type GivenChoices, KEPT, NOT_CHOSEN, OVER_CAPACITY } from './given-choices.js';

// Shapes: T tokens of this rank, E experts, K choices of a token.

/**
 * Replaces the choices in a router's decision. Weights that do not belong to the router's own choices are
 * constants without a gradient. A collective call, as the ranks exchange counts.
 *
 * @throws TrainerError as `Transport.transfer`
 */
export function replaceChoices(
  own: RoutingDecision,
  given: GivenChoices,
  context: Pick<RouterContext, 'transport' | 'layer'>,
): RoutingDecision {
  const numChoices = given.areRecorded ? Math.max(own.numChoices, given.numChoices) : given.numChoices;
  const chosenTK = widened(given.chosenTK, given.numChoices, numChoices, -1);
  const outcomesTK = widened(given.outcomesTK, given.numChoices, numChoices, KEPT);
  const numExperts = own.keptE.length;
  const countsOf = (outcome: number) => {
    const countsE = new Int32Array(numExperts);
    chosenTK.forEach((expert, choice) => {
      if (expert >= 0 && outcomesTK[choice] === outcome) countsE[expert]!++;
    });
    return countsE;
  };
  const [keptE, overCapacityE, notChosenE] = [KEPT, OVER_CAPACITY, NOT_CHOSEN].map(countsOf) as [
    Int32Array,
    Int32Array,
    Int32Array,
  ];
  return {
    numChoices,
    expertsTK: chosenTK.map((expert, choice) => (outcomesTK[choice] === KEPT ? expert : -1)),
    chosenTK,
    notChosenTK: Uint8Array.from(outcomesTK, (outcome) => Number(outcome === NOT_CHOSEN)),
    scores: own.scores,
    weightsTK: given.areRecorded
      ? recordedWeights(own, given, chosenTK, numChoices)
      : given.weightsTK && tf.tensor2d(given.weightsTK, [chosenTK.length / numChoices, numChoices]),
    routedE: keptE.map((kept, expert) => kept + overCapacityE[expert]! + notChosenE[expert]!),
    keptE,
    overCapacityE,
    notChosenE,
    capacityE: given.areRecorded ? own.capacityE : new Float64Array(numExperts).fill(Infinity),
    keptOfRank: gatherCounts(context, keptE).countsOfRank,
    auxiliaryLoss: given.areRecorded ? own.auxiliaryLoss : null,
    gateCosine: given.areRecorded ? own.gateCosine : null,
  };
}

/** Returns the router's weights for tokens with the router's choices, else the given weights as constants. */
function recordedWeights(
  own: RoutingDecision,
  given: GivenChoices,
  chosenTK: Int32Array,
  numChoices: number,
): tf.Tensor2D | null {
  if (own.weightsTK === null && given.weightsTK === null) return null;
  const ownTK = widened(own.chosenTK, own.numChoices, numChoices, -1);
  const numTokens = chosenTK.length / numChoices;
  const isOwnTK = new Uint8Array(chosenTK.length);
  for (let t = 0; t < numTokens; t++) {
    const [begin, end] = [t * numChoices, (t + 1) * numChoices];
    let isOwn = 1;
    for (let at = begin; at < end; at++) if (chosenTK[at] !== ownTK[at]) isOwn = 0;
    isOwnTK.fill(isOwn, begin, end);
  }
  const ownWeightsTK = weightsOfRouter(own, numTokens, numChoices);
  if (!isOwnTK.includes(0)) return ownWeightsTK;
  const shape: [number, number] = [numTokens, numChoices];
  const constantsTK: tf.Tensor2D =
    given.weightsTK === null
      ? tf.ones(shape)
      : tf.tensor2d(widened(given.weightsTK, given.numChoices, numChoices, 0), shape);
  return tf.where(tf.tensor2d(isOwnTK, shape, 'bool'), ownWeightsTK, constantsTK);
}

function weightsOfRouter(
  { weightsTK, numChoices }: RoutingDecision,
  numTokens: number,
  width: number,
): tf.Tensor2D {
  if (weightsTK === null) return tf.ones([numTokens, width]);
  return numChoices === width
    ? weightsTK
    : tf.pad(weightsTK, [
        [0, 0],
        [0, width - numChoices],
      ]);
}

/** Extends the rows of [T, from] to [T, to]. */
function widened<A extends Int32Array | Float32Array | Uint8Array>(
  values: A,
  from: number,
  to: number,
  filling: number,
): A {
  if (from === to) return values;
  const numRows = values.length / from;
  const wide = new (values.constructor as new (length: number) => A)(numRows * to);
  wide.fill(filling);
  for (let row = 0; row < numRows; row++) wide.set(values.subarray(row * from, (row + 1) * from), row * to);
  return wide;
}
