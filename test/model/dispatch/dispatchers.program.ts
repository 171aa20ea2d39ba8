import { rankProgram } from '@locmoe/test-kit';
import * as tf from '@tensorflow/tfjs-node';
import type { AllToAllForm } from '../../../src/collectives/all-to-all.js';
import { Communicator } from '../../../src/collectives/communicator.js';
import type { Transport } from '../../../src/collectives/transport.js';
import { addStats } from '../../../src/collectives/transport.js';
import { MoeLayer } from '../../../src/model/moe-layer.js';
import { placementOf } from '../../../src/routing/groups/expert-placement.js';
import { createRouter } from '../../../src/routing/index.js';
import { expertsOf, randomIntegers, randomValues, storeOf, tinyConfig } from '../support.js';
import type { DispatchResults, OverlapCase, OverlapResult } from './dispatchers.test.js';

const D = 48;
const F = 32;

rankProgram((transport, cases: readonly OverlapCase[]) =>
  cases.map((each) => runDispatchers(transport, each)),
);

function runDispatchers(
  transport: Transport,
  { moe: change, numTokens, degrees, wire }: OverlapCase,
): DispatchResults {
  const { topology } = transport;
  const config = tinyConfig({ model: { dModel: D }, moe: { dFeedForward: F, ...change } });
  const { moe } = config;
  const everyExpert = Array.from({ length: moe.numExperts }, (_, expert) => expert);
  const run = (overlapDegree: number, form: AllToAllForm, deduplicate = false): OverlapResult => {
    const router = createRouter({
      moe,
      transport,
      topology,
      layer: 1,
      dModel: D,
      vocabSize: 257,
      seed: 1,
      numSteps: 10,
      below: [],
      expertsOfDomain: [Int32Array.from(everyExpert)],
    });
    const layer = new MoeLayer({
      layer: 1,
      experts: expertsOf(config),
      placement: placementOf(moe, topology.worldSize, 1),
      router,
      communicator: new Communicator(transport, form, wire),
      overlapDegree,
      deduplicate,
    });
    const store = storeOf(config, layer);
    for (const { name, begin, end } of store.expert.ranges)
      store.expert.values.set(randomValues(name, end - begin, 0.5), begin);
    if (moe.router === 'switch')
      store.values('layers.1.router.weight').set(randomValues('gate', D * moe.numExperts));
    store.pushValues();
    let y = new Float32Array(0);
    let otherNode = 0;
    const xTD = tf.variable(
      tf.tensor2d(randomValues(`x ${topology.rank}`, numTokens * D), [numTokens, D]),
    ) as tf.Variable<tf.Rank.R2>;
    const objective = () => {
      const { yTD, statistics } = layer.forward(store, {
        xTD,
        tokenIdsT: randomIntegers(`ids ${topology.rank}`, numTokens, 257),
        idBefore: () => 0,
        domainsT: new Int32Array(numTokens),
        training: true,
      });
      y = yTD.dataSync<'float32'>().slice();
      otherNode = statistics.measures.otherNode as number;
      return tf.sum(tf.mul(yTD, tf.tensor2d(randomValues('dy', numTokens * D), [numTokens, D]))) as tf.Scalar;
    };
    const { grads } = tf.variableGrads(objective, [xTD]);
    const dx = Object.values(grads)[0].dataSync<'float32'>().slice();
    transport.takeStats();
    store.computeGradients(objective);
    const { bytesOtherNode } = addStats([transport.takeStats()]);
    const [dExperts, dRouter] = [store.expert.gradients.slice(), store.shared.gradients.slice()];
    return { values: { y, dx, dExperts, dRouter }, otherNode, bytesOtherNode };
  };
  return {
    overlapped: degrees.flatMap((degree) => [run(degree, 'flat'), run(degree, 'hierarchical')]),
    deduplicated: moe.numExperts < topology.worldSize ? null : run(1, 'hierarchical', true),
  };
}
