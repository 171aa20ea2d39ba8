import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { topologyOf } from '../../../src/collectives/topology.js';
import { placementOf } from '../../../src/routing/groups/expert-placement.js';
import {
  expertsOnNode,
  localityLoss,
  localizedDistributions,
  meanTarget,
} from '../../../src/routing/losses/locality-loss.js';
import { checkGradients, expectClose, randomValues, tinyConfig } from '../../model/support.js';

const FLOOR = 0.1;

describe('localizedDistributions', () => {
  it('shares 1 - eps among local experts and eps among the others', () => {
    const onNode = [true, false, false, true, false];
    const [target] = localizedDistributions([Int32Array.of(0, 1, 2, 3, 4)], onNode, FLOOR);
    expectClose(target, [0.45, 0.1 / 3, 0.1 / 3, 0.45, 0.1 / 3], 1e-12);
  });

  it('is uniform over a group that is all here or all elsewhere', () => {
    const targets = localizedDistributions(
      [Int32Array.of(0, 1), Int32Array.of(2, 3)],
      [true, true, false, false],
      FLOOR,
    );
    expect(targets.map((target) => [...target])).toEqual([
      [0.5, 0.5, 0, 0],
      [0, 0, 0.5, 0.5],
    ]);
    expect([...meanTarget(Int32Array.of(0, 0, 1, 0), targets)]).toEqual([0.375, 0.375, 0.125, 0.125]);
  });
});

it('expertsOnNode follows the placement, replicas too', () => {
  const whole = (numExperts: number, layers: Record<string, number[]> | null = null) =>
    tinyConfig({
      moe: {
        numExperts,
        placement: layers && { version: 1, numExperts, nodes: 2, workersPerNode: 2, layers },
      },
    }).moe;
  const onNode = (moe: ReturnType<typeof whole>, rank: number, nodes: number, workers: number) =>
    expertsOnNode(moe, topologyOf(rank, nodes, workers), placementOf(moe, nodes * workers, 0));
  expect(onNode(whole(4), 3, 2, 2)).toEqual([false, false, true, true]);
  expect(onNode(whole(4), 0, 1, 4)).toEqual([true, true, true, true]);
  // Two experts on four ranks: every node has both.
  expect(onNode(whole(2), 3, 2, 2)).toEqual([true, true]);
  const part = tinyConfig({
    moe: { numExperts: 8, expertGroups: 2, subModel: { domain: 'b', domains: ['a', 'b'] } },
  }).moe;
  expect(onNode(part, 3, 2, 2)).toEqual([...Array(6).fill(false), true, true]);
  // A placement is for one layer, and for one number of ranks.
  const placed = whole(4, { 0: [3, 0, 2, 1] });
  expect(onNode(placed, 3, 2, 2)).toEqual([true, false, true, false]);
  expect(onNode(placed, 0, 2, 1)).toEqual([true, true, false, false]);
});

describe.each([1, 4])('localityLoss with %i workers a node', (workers) => {
  const [numTokens, numExperts] = [6, 4];
  const target = Float64Array.of(0.45, 0.45, 0.05, 0.05);
  const logits = randomValues('logits', 4 * numTokens * numExperts);
  const allProbs = (values: tf.Tensor): tf.Tensor2D =>
    tf.softmax(tf.reshape(values, [4 * numTokens, numExperts])) as tf.Tensor2D;
  const meanOf = (probs: tf.Tensor2D) => Float64Array.from(tf.mean(probs, 0).dataSync());

  /** Mean of the workers' losses, each for its part of the node's tokens. */
  const loss = (values: tf.Tensor): tf.Scalar => {
    const probs = allProbs(values);
    const current = meanOf(probs);
    const parts: tf.Tensor2D[] = workers === 1 ? [probs] : tf.split(probs, workers);
    return tf.div(
      parts.map((part) => localityLoss(0.7, part, current, target)).reduce((sum, each) => tf.add(sum, each)),
      workers,
    );
  };
  const divergence = (values: tf.Tensor): tf.Scalar => {
    const current = tf.mean(allProbs(values), 0);
    return tf.mul(
      0.7,
      tf.sum(tf.mul(current, tf.log(tf.div(current, tf.tensor1d(Float32Array.from(target)))))),
    );
  };

  it('averages to the divergence of the node, in value and in gradient', () => {
    const tensor = tf.tensor1d(logits);
    expectClose(loss(tensor).dataSync(), divergence(tensor).dataSync(), 1e-5);
    expectClose(tf.grad(loss)(tensor).dataSync(), tf.grad(divergence)(tensor).dataSync(), 1e-5);
    checkGradients(loss, [{ shape: [logits.length], values: logits }]);
  });
});

it('localityLoss is finite where an expert gets nothing, and zero at the target', () => {
  const target = Float64Array.of(0.9, 0.1, 0);
  const probs = tf.tensor2d([[1, 0, 0]]);
  expect(localityLoss(1, probs, Float64Array.of(1, 0, 0), target).dataSync()[0]).toBeCloseTo(
    -Math.log(0.9),
    5,
  );
  expect(localityLoss(1, tf.tensor2d([[0.9, 0.1, 0]]), target, target).dataSync()[0]).toBeCloseTo(0, 6);
});
