import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { soloTransport } from '../../../src/collectives/solo-transport.js';
import {
  balancedChoices,
  type DrawnBatch,
  randomChoices,
} from '../../../src/routing/choices/drawn-choices.js';
import {
  type GivenChoices,
  KEPT,
  NOT_CHOSEN,
  OVER_CAPACITY,
} from '../../../src/routing/choices/given-choices.js';
import { replaceChoices } from '../../../src/routing/choices/replaced-choices.js';
import type { RoutingDecision } from '../../../src/routing/router.js';

const CONTEXT = { transport: soloTransport(), layer: 1 };
const NO_LOSS = { auxiliaryLoss: null, gateCosine: null };

/** A router's decision for three tokens with one choice each among four experts. */
function ownDecision(weightsTK: tf.Tensor2D | null): RoutingDecision {
  const chosenTK = Int32Array.of(0, 1, 2);
  const counts = Int32Array.of(1, 1, 1, 0);
  const none = new Int32Array(4);
  return {
    numChoices: 1,
    expertsTK: chosenTK,
    chosenTK,
    notChosenTK: null,
    weightsTK,
    routedE: counts,
    keptE: counts,
    overCapacityE: none,
    notChosenE: none,
    capacityE: new Float64Array(4).fill(9),
    keptOfRank: [counts],
    ...NO_LOSS,
  };
}

function recorded(choices: Omit<GivenChoices, 'areRecorded'>): GivenChoices {
  return { ...choices, areRecorded: true };
}

describe('a decision with recorded choices', () => {
  it('has the weights of the router, with their gradient, where a token has its choices, and constants elsewhere', () => {
    const given = recorded({
      numChoices: 2,
      chosenTK: Int32Array.of(0, -1, 3, 1, 2, -1),
      outcomesTK: Uint8Array.of(KEPT, KEPT, KEPT, NOT_CHOSEN, OVER_CAPACITY, KEPT),
      weightsTK: Float32Array.of(0.9, 0, 0.25, 0.75, 0.8, 0),
    });
    const own = tf.tensor2d([0.5, 0.6, 0.7], [3, 1]);
    const weigh = (x: tf.Tensor2D) =>
      tf.sum(
        tf.mul(
          replaceChoices(ownDecision(x), given, CONTEXT).weightsTK!,
          tf.tensor2d([
            [1, 2],
            [4, 8],
            [16, 32],
          ]),
        ),
      );
    const decision = replaceChoices(ownDecision(own), given, CONTEXT);
    expect([...decision.weightsTK!.dataSync()]).toEqual([0.5, 0, 0.25, 0.75, 0.7, 0].map(Math.fround));
    expect([
      ...tf
        .grad((x) => weigh(x as tf.Tensor2D))(own)
        .dataSync(),
    ]).toEqual([1, 0, 16]);
    expect([...decision.expertsTK]).toEqual([0, -1, 3, -1, -1, -1]);
    expect([...decision.keptE]).toEqual([1, 0, 0, 1]);
    expect([...decision.overCapacityE]).toEqual([0, 0, 1, 0]);
    expect([...decision.notChosenE]).toEqual([0, 1, 0, 0]);
    expect([...decision.routedE]).toEqual([1, 1, 1, 1]);
    expect(decision.keptOfRank.map((kept) => [...kept])).toEqual([[1, 0, 0, 1]]);
    expect([...decision.notChosenTK!]).toEqual([0, 0, 0, 1, 0, 0]);
  });

  it('is the router’s own tensor if all choices are, and has no weights where neither has', () => {
    const given = recorded({
      numChoices: 1,
      chosenTK: Int32Array.of(0, 1, 2),
      outcomesTK: new Uint8Array(3),
      weightsTK: Float32Array.of(0.1, 0.2, 0.3),
    });
    const own = tf.tensor2d([0.5, 0.6, 0.7], [3, 1]);
    expect(replaceChoices(ownDecision(own), given, CONTEXT).weightsTK).toBe(own);
    const unweighted = { ...given, weightsTK: null };
    expect(replaceChoices(ownDecision(null), unweighted, CONTEXT).weightsTK).toBe(null);
    const others = { ...unweighted, chosenTK: Int32Array.of(0, 1, 3) };
    const { weightsTK } = replaceChoices(ownDecision(own), others, CONTEXT);
    expect([...weightsTK!.dataSync()]).toEqual([0.5, 0.6, 1].map(Math.fround));
  });
});

describe('choices by rule', () => {
  const OPEN = [Int32Array.of(0, 1, 2), Int32Array.of(3, 4, 5)];
  const batchOf = (sequences: number[], step = 3): DrawnBatch => ({
    step,
    layer: 2,
    seqLen: 5,
    sequences,
    openExperts: sequences.map((sequence) => OPEN[sequence % 2]!),
  });

  it('draws distinct open experts, the same for a sequence whatever stands beside it, others at another step', () => {
    const { chosenTK, weightsTK } = randomChoices(batchOf([0, 1, 2, 3]), 2, 1);
    for (let t = 0; t < 20; t++) {
      const [a, b] = chosenTK.subarray(2 * t, 2 * t + 2);
      expect(a).not.toBe(b);
      for (const expert of [a!, b!]) expect(OPEN[Math.floor(t / 5) % 2]).toContain(expert);
    }
    expect(weightsTK!.every((weight) => weight === 0.5)).toBe(true);
    expect(randomChoices(batchOf([2]), 2, 1).chosenTK).toEqual(chosenTK.slice(20, 30));
    expect(randomChoices(batchOf([0, 1, 2, 3], 4), 2, 1).chosenTK).not.toEqual(chosenTK);
    expect(randomChoices(batchOf([0, 1, 2, 3]), 2, 2).chosenTK).not.toEqual(chosenTK);
    expect(randomChoices(batchOf([0]), 1, 1).weightsTK).toBe(null);
  });

  it('draws each open expert as often as the others', () => {
    const { chosenTK } = randomChoices({ ...batchOf([0]), seqLen: 30_000 }, 1, 1);
    const counts = [0, 1, 2].map((expert) => chosenTK.filter((each) => each === expert).length);
    // Four standard deviations of a binomial count.
    for (const count of counts)
      expect(Math.abs(count - 10_000)).toBeLessThan(4 * Math.sqrt((30_000 * 2) / 9));
  });

  it('gives each open expert as many tokens of the sequences that it is open to', () => {
    const { chosenTK } = balancedChoices(batchOf([0, 1, 2, 3, 4, 5]), 1, [0, 0, 1, 1, 2, 2]);
    const counts = [0, 1, 2, 3, 4, 5].map((expert) => chosenTK.filter((each) => each === expert).length);
    expect(counts).toEqual([5, 5, 5, 5, 5, 5]);
  });
});
