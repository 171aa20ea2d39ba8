import type { Batch } from '../data/batch.js';
import type { DecisionChange } from '../model/moe-layer.js';
import type { PanguSigma } from '../model/pangu-sigma.js';
import { tiedCrossEntropy } from '../ops/operations.js';
import { tf } from '../ops/tensorflow.js';
import { matrix } from '../parameters/matrix.js';
import type { RoutingDecision } from '../routing/router.js';

// Shapes: T tokens of a batch, K choices of a token, V vocabulary.

/** A token's experts are dropped in one pass of so many, so that those around it have theirs. */
const PASSES = 5;

/** Says how much the experts of a sparse layer lower the loss of each id's tokens, in nats of these tokens' own loss. */
export interface IdGains {
  /** Sum over the tokens of an id of the loss without their experts less that with them, length V. */
  readonly gainV: Float64Array;
  /** Tokens of each id, length V. */
  readonly tokensV: Float64Array;
}

/**
 * Measures what the loss of a token loses if its experts are dropped, in one sparse layer after the other: every layer
 * takes five passes over the batches beside the one with all experts.
 *
 * @param batches of one rank
 * @returns gains by the index of a sparse layer among all layers
 */
export function gainsOfIds(model: PanguSigma, batches: Iterable<Batch>): ReadonlyMap<number, IdGains> {
  const { vocabSize } = model.config.model;
  const gains = new Map(
    model.sparseLayers.map(({ layer }): [number, IdGains] => [
      layer,
      { gainV: new Float64Array(vocabSize), tokensV: new Float64Array(vocabSize) },
    ]),
  );
  for (const batch of batches) {
    const wholeT = tokenLosses(model, batch);
    for (const [layer, { gainV, tokensV }] of gains)
      for (let pass = 0; pass < PASSES; pass++) {
        const isDropped = (t: number) => t % PASSES === pass;
        const lossT = tokenLosses(model, batch, (at, decision) =>
          at === layer ? withoutTokens(decision, isDropped) : decision,
        );
        for (let t = pass; t < lossT.length; t += PASSES) {
          if (batch.packed?.counted[t] === 0) continue;
          gainV[batch.tokenIds[t]!]! += lossT[t]! - wholeT[t]!;
          tokensV[batch.tokenIds[t]!]!++;
        }
      }
  }
  return gains;
}

function tokenLosses(model: PanguSigma, batch: Batch, change?: DecisionChange): Float32Array {
  return tf.tidy(() => {
    const { hiddenTD } = model.hidden(batch, { training: false, change });
    const embeddingVD = matrix(model.parameters, 'embed.tokens');
    return tiedCrossEntropy(hiddenTD, embeddingVD, batch.targets).dataSync<'float32'>().slice();
  });
}

/** The choices of some tokens are dropped, on one rank. */
function withoutTokens(decision: RoutingDecision, isDropped: (t: number) => boolean): RoutingDecision {
  const { numChoices } = decision;
  const keptE = new Int32Array(decision.keptE.length);
  const expertsTK = decision.expertsTK.map((expert, choice) => {
    if (expert < 0 || isDropped(Math.floor(choice / numChoices))) return -1;
    keptE[expert]!++;
    return expert;
  });
  return { ...decision, expertsTK, keptE, keptOfRank: [keptE] };
}

/** The ids that keep their experts, and what these hold. */
export interface NeedyIds {
  /** Length V. */
  readonly hasExpertV: readonly boolean[];
  /** Share of the tokens whose ids have an expert. */
  readonly share: number;
  /** Their share of the gains of all tokens. */
  readonly ofGains: number;
}

/**
 * The ids of greatest mean gain, until they hold a share of the tokens; ties go to the lower id. Ids that were not met keep
 * their experts, as nothing is known of them.
 *
 * @param share greater than 0, at most 1
 */
export function idsInNeed({ gainV, tokensV }: IdGains, share: number): NeedyIds {
  const tokens = tokensV.reduce((a, b) => a + b, 0);
  const gains = gainV.reduce((a, b) => a + b, 0);
  const meanOf = (id: number) => gainV[id]! / tokensV[id]!;
  const met = [...tokensV.keys()].filter((id) => tokensV[id]! > 0).sort((a, b) => meanOf(b) - meanOf(a));
  const hasExpertV = Array.from(tokensV, (count) => count === 0);
  let held = 0;
  let gained = 0;
  for (const id of met) {
    if (held >= share * tokens) break;
    hasExpertV[id] = true;
    held += tokensV[id]!;
    gained += gainV[id]!;
  }
  return { hasExpertV, share: held / tokens, ofGains: gained / gains };
}
