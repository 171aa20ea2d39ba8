import { CounterRandom } from '../../parameters/counter-random.js';
import { type GivenChoices, KEPT } from './given-choices.js';

// Shapes: B sequences of S tokens each, T = B S, K choices of a token.

/** Sequences of a step that one rank holds. */
export interface DrawnBatch {
  /** Step of the run; 0 in an evaluation. */
  readonly step: number;
  readonly layer: number;
  readonly seqLen: number;
  /** Index of each sequence in the global batch, length B. */
  readonly sequences: ArrayLike<number>;
  /** Global ids of the experts that are open to each sequence, length B. */
  readonly openExperts: readonly Int32Array[];
}

/**
 * Draws distinct experts uniformly among those open to a token. A draw depends only on the seed, step, layer, sequence,
 * position and choice, so that it is the same in every layout.
 */
export function randomChoices(batch: DrawnBatch, numChoices: number, seed: number): GivenChoices {
  const random = new CounterRandom(seed, `routes.${batch.layer}.${batch.step}`);
  return choicesOf(batch, numChoices, (choices, token, open) => {
    const left = open.slice();
    for (let k = 0; k < choices.length; k++) {
      const drawn = k + Math.floor(random.uniform(token * numChoices + k) * (left.length - k));
      choices[k] = left[drawn]!;
      left[drawn] = left[k]!;
    }
  });
}

/**
 * Assigns experts in turn, by the position of a token among the tokens with the same open experts: the numbers of the
 * global batch's tokens that these experts get differ by at most one.
 *
 * @param turns position of each sequence among those with the same open experts, length B
 */
export function balancedChoices(
  batch: DrawnBatch,
  numChoices: number,
  turns: ArrayLike<number>,
): GivenChoices {
  return choicesOf({ ...batch, sequences: turns }, numChoices, (choices, token, open) => {
    for (let k = 0; k < choices.length; k++) choices[k] = open[(token * numChoices + k) % open.length]!;
  });
}

/** @param choose fills the choices of a token, which is identified by its index among the tokens of all sequences */
function choicesOf(
  { sequences, seqLen, openExperts }: DrawnBatch,
  numChoices: number,
  choose: (choices: Int32Array, token: number, openExperts: Int32Array) => void,
): GivenChoices {
  const chosenTK = new Int32Array(sequences.length * seqLen * numChoices).fill(-1);
  openExperts.forEach((open, row) => {
    const most = Math.min(numChoices, open.length);
    for (let s = 0; s < seqLen; s++) {
      const begin = (row * seqLen + s) * numChoices;
      choose(chosenTK.subarray(begin, begin + most), sequences[row]! * seqLen + s, open);
    }
  });
  return {
    numChoices,
    chosenTK,
    outcomesTK: new Uint8Array(chosenTK.length).fill(KEPT),
    weightsTK: numChoices === 1 ? null : weightsOf(chosenTK, numChoices, openExperts, seqLen),
    areRecorded: false,
  };
}

/** Gives all choices of a token equal weights, which add up to 1. */
function weightsOf(
  chosenTK: Int32Array,
  numChoices: number,
  openExperts: readonly Int32Array[],
  seqLen: number,
): Float32Array {
  return Float32Array.from(chosenTK, (_, at) => {
    const row = Math.floor(at / (numChoices * seqLen));
    return 1 / Math.min(numChoices, openExperts[row]!.length);
  });
}
