// A study of why a learned gate is behind a table of token ids: `switch` with its parts changed one at a time.
import {
  argmaxOfRows,
  balanceLoss,
  classicCapacity,
  countBytes,
  defineRouter,
  denseGateLogits,
  denseGateSpecs,
  firstFit,
  gatherRows,
  heldExperts,
  keepToGroup,
  tf,
  z,
} from 'locmoe/routing';

export default defineRouter({
  fields: {
    scale: z.number().positive().default(1).describe("factor of the gate's initial weights"),
    rate: z
      .number()
      .positive()
      .default(1)
      .describe("factor of the gate's learning rate; very small freezes it"),
    weight: z
      .enum(['probability', 'one', 'one after the votes'])
      .default('probability')
      .describe("weight of an expert's output; with one only the balance loss trains the gate"),
    votesUntil: z
      .number()
      .int()
      .nonnegative()
      .default(0)
      .describe(
        'after these steps each token id goes where most of its tokens went in their last third; 0: never',
      ),
    detached: z.boolean().default(false).describe('the gate trains nothing below it'),
  },
  // Adam's step does not depend on the scale of a gradient, so a weight that is stored divided by the rate learns at that rate.
  parameters: (moe, dModel) =>
    denseGateSpecs(moe, dModel).map((spec) =>
      Object.assign(spec, { init: { kind: 'normal', std: (spec.init.std * moe.scale) / moe.rate } }),
    ),
  price: ({ numExperts: E }, { numTokens: T, dModel: d }) => ({
    forward: { flops: 2 * T * d * E, touched: 30 * T * E, operations: 50 },
    backward: { flops: 4 * T * d * E, touched: 25 * T * E, operations: 28 },
    hostNs: 0,
    gathered: { purpose: 'counts', bytes: countBytes(E) },
    choicesPerToken: 1,
    candidatesPerToken: 0,
    weighted: true,
  }),
  create(context) {
    const { moe, vocabSize, topology, expertsOfDomain } = context;
    const E = moe.numExperts;
    const step = new Float32Array(1);
    const votesVE = new Float32Array(vocabSize * E);
    return {
      state: new Map([
        ['step', step],
        ['votes', votesVE],
      ]),
      endStep: () => void step[0]++,
      route(input) {
        const { tokenIdsT, domainsT, training } = input;
        const xTD = moe.detached ? tf.tensor2d(input.xTD.dataSync().slice(), input.xTD.shape) : input.xTD;
        const given = { ...input, xTD };
        const logitsTE = tf.mul(denseGateLogits(given), moe.rate);
        const probsTE = tf.softmax(keepToGroup(logitsTE, domainsT, expertsOfDomain));
        const ownT = argmaxOfRows(probsTE);
        const isVoting = step[0] >= (2 / 3) * moe.votesUntil && step[0] < moe.votesUntil;
        if (training && isVoting)
          ownT.forEach((expert, t) => {
            votesVE[tokenIdsT[t] * E + expert]++;
          });
        const isFixed = moe.votesUntil > 0 && step[0] >= moe.votesUntil;
        const chosenT = isFixed ? ownT.map((own, t) => votedFor(votesVE, tokenIdsT[t], E) ?? own) : ownT;
        const factor = training ? moe.capacityFactor : null;
        const capacity = classicCapacity(
          factor,
          chosenT.length * topology.worldSize,
          1,
          heldExperts(moe).count,
        );
        const fitted = firstFit(context, chosenT, capacity);
        const elements = chosenT.map((expert, t) => t * E + expert);
        const weightsTK =
          moe.weight === 'one' || (isFixed && moe.weight !== 'probability')
            ? null
            : gatherRows(tf.reshape(probsTE, [-1, 1]), elements);
        if (!training) return { ...fitted, weightsTK, auxiliaryLoss: null, gateCosine: null };
        const strength = moe.auxiliaryLossWeight * heldExperts(moe).count;
        const auxiliaryLoss = balanceLoss(strength, fitted.routedByAllRanksE, probsTE);
        return { ...fitted, weightsTK, auxiliaryLoss, gateCosine: null };
      },
    };
  },
});

/** The expert with the most votes of an id; null without a vote. Votes are those of one rank: this control is for one. */
function votedFor(votesVE, id, numExperts) {
  let best = null;
  let most = 0;
  for (let expert = 0; expert < numExperts; expert++) {
    const votes = votesVE[id * numExperts + expert];
    if (votes > most) [best, most] = [expert, votes];
  }
  return best;
}
