// Controls of a learned gate: a softmax over experts in which one thing differs from `switch`. Shapes: T tokens of this rank, d hidden
// size, E experts, K choices of a token, V vocabulary, D domains.
import { balanceLoss, classicFit, defineRouter, gatherRows, heldExperts, tf, z } from 'locmoe/routing';

export default defineRouter({
  fields: {
    choices: z.number().int().positive().default(1).describe('K; the weights of several sum to 1'),
    sees: z
      .enum(['state', 'id', 'pair'])
      .default('state')
      .describe(
        'the hidden state, or a fixed random vector of the id alone, or the sum of one of the id and one of the id before',
      ),
    isFrozen: z.boolean().default(false).describe('the gate keeps the weights that it was drawn with'),
    decays: z.boolean().default(true).describe('weight decay reaches the gate, also a frozen one'),
    weight: z
      .enum(['probability', 'straight'])
      .default('probability')
      .describe('weight of an output: with straight 1 / K, with the gradient of the probability'),
    hashedLayers: z
      .number()
      .int()
      .nonnegative()
      .default(0)
      .describe('so many of the lowest sparse layers have a random table of ids'),
    byDomain: z.boolean().default(false).describe('each domain has tables of its own'),
    isWeighted: z
      .boolean()
      .default(false)
      .describe('an expert of a table has the probability of the gate as its weight'),
    votesUntil: z
      .number()
      .int()
      .nonnegative()
      .default(0)
      .describe(
        'after these steps an id of a domain has the expert of most votes in their last third, with weight 1; 0: never',
      ),
  },
  // Adam's step does not depend on the scale of a gradient, so a weight that is stored multiplied by 1e4 hardly learns.
  parameters: ({ numExperts: E, isFrozen, decays }, d) => [
    {
      name: 'weight',
      shape: [d, E],
      init: { kind: 'normal', std: Math.sqrt(2 / (5 * d)) * (isFrozen ? 1e4 : 1) },
      decay: decays,
    },
  ],
  create(context) {
    const { moe, layer, below, dModel, vocabSize, seed, expertsOfDomain } = context;
    const { numExperts: E, choices: K } = moe;
    const step = new Float32Array(1);
    const votes = new Float32Array(moe.votesUntil > 0 ? expertsOfDomain.length * vocabSize * E : 0);
    const [ofIdVD, ofIdBeforeVD] = [0, 1].map((which) =>
      tf.keep(tf.randomNormal([vocabSize, dModel], 0, 1, 'float32', 1e6 * seed + 10 * layer + which)),
    );
    const ranksDV = expertsOfDomain.map((_, domain) =>
      ranksOf(vocabSize, 1e6 * seed + 1000 * layer + (moe.byDomain ? domain : 0)),
    );
    const isHashed = below.length < moe.hashedLayers;

    const seen = ({ xTD, tokenIdsT, idBefore }) => {
      if (moe.sees === 'state') return xTD;
      const own = tf.gather(ofIdVD, tokenIdsT);
      if (moe.sees === 'id') return own;
      const beforeT = tokenIdsT.map((_, t) => idBefore(t, 1));
      return tf.mul(tf.add(own, tf.gather(ofIdBeforeVD, beforeT)), Math.SQRT1_2);
    };
    /** The k-th of K random tables of ids, each over its part of the experts of the domain. */
    const tabled = ({ tokenIdsT, domainsT }) =>
      Int32Array.from({ length: tokenIdsT.length * K }, (_, i) => {
        const [t, k] = [Math.floor(i / K), i % K];
        const group = expertsOfDomain[domainsT[t]];
        const size = group.length / K;
        return group[k * size + (Math.floor(ranksDV[domainsT[t]][tokenIdsT[t]] / size ** k) % size)];
      });
    const voteOf = ({ tokenIdsT, domainsT }, t) => (domainsT[t] * vocabSize + tokenIdsT[t]) * E;

    return {
      state: new Map([['step', step], ...(moe.votesUntil > 0 ? [['votes', votes]] : [])]),
      endStep: () => void step[0]++,
      route(input) {
        const { parameters, domainsT, training } = input;
        const gateDE = tf.mul(parameters.get('weight'), moe.isFrozen ? 1e-4 : 1);
        const allowedTE = tf.tensor2d(allowed(domainsT, expertsOfDomain, E), [domainsT.length, E]);
        const probsTE = tf.softmax(tf.add(tf.matMul(seen(input), gateDE), allowedTE));
        const isVoted = moe.votesUntil > 0 && step[0] >= moe.votesUntil;
        const bestTK = tf.topk(probsTE, K).indices.dataSync();
        const chosenTK = isHashed
          ? tabled(input)
          : isVoted
            ? bestTK.map((own, t) => votedFor(votes, voteOf(input, t), E) ?? own)
            : Int32Array.from(bestTK);
        if (training && !isVoted && step[0] >= (2 / 3) * moe.votesUntil && moe.votesUntil > 0)
          for (const [t, expert] of chosenTK.entries()) votes[voteOf(input, t) + expert]++;
        const fitted = classicFit(context, chosenTK, training, K);
        const isEven = isVoted || (isHashed && !moe.isWeighted);
        const auxiliaryLoss =
          training && !isEven
            ? balanceLoss(moe.auxiliaryLossWeight * heldExperts(moe).count, fitted.routedByAllRanksE, probsTE)
            : null;
        return {
          ...fitted,
          weightsTK: isEven ? even(K, domainsT.length) : weigh(moe, probsTE, chosenTK),
          auxiliaryLoss,
          gateCosine: null,
        };
      },
    };
  },
});

function even(K, T) {
  return K === 1 ? null : tf.fill([T, K], 1 / K);
}

function weigh({ choices: K, weight, numExperts: E }, probsTE, chosenTK) {
  const elements = chosenTK.map((expert, i) => Math.floor(i / K) * E + expert);
  const ofChosenTK = tf.reshape(gatherRows(tf.reshape(probsTE, [-1, 1]), elements), [-1, K]);
  const weightsTK = K === 1 ? ofChosenTK : tf.div(ofChosenTK, tf.sum(ofChosenTK, 1, true));
  if (weight === 'probability') return weightsTK;
  // The value is 1 / K, and the gradient that of the probability.
  return tf.add(
    weightsTK,
    tf.tensor2d(
      weightsTK.dataSync().map((value) => 1 / K - value),
      weightsTK.shape,
    ),
  );
}

/** 0 for the experts of a token's domain and -1e9 for others, row-major [T, E]. */
function allowed(domainsT, expertsOfDomain, E) {
  const all = new Float32Array(domainsT.length * E).fill(-1e9);
  for (const [t, domain] of domainsT.entries())
    for (const expert of expertsOfDomain[domain]) all[t * E + expert] = 0;
  return all;
}

/** The expert with the most votes; null without a vote. Votes are those of one rank: this control is for one. */
function votedFor(votes, from, numExperts) {
  let best = null;
  let most = 0;
  for (let expert = 0; expert < numExperts; expert++)
    if (votes[from + expert] > most) [best, most] = [expert, votes[from + expert]];
  return best;
}

/** Rank of each id in a random order (Fisher and Yates, with the generator of Numerical Recipes). */
function ranksOf(length, seed) {
  const ranks = Int32Array.from({ length }, (_, i) => i);
  let state = seed >>> 0;
  for (let i = length - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((state / 2 ** 32) * (i + 1));
    [ranks[i], ranks[j]] = [ranks[j], ranks[i]];
  }
  return ranks;
}
