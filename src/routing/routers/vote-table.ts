import { allGather } from '../../collectives/all-gather.js';
import { classicFit } from '../capacity/first-fit.js';
import { count } from '../numeric-fields.js';
import { type MoeRule, type MoeWith, unless } from '../policy.js';
import type { Router, RouterContext, RouterInput, RoutingDecision } from '../router.js';
import type { topKField } from './top-k.js';

// Shapes: T tokens of this rank, N tokens of all ranks, E experts, V vocabulary, D domains.

export const voteTableField = {
  tableAfter: count
    .default(0)
    .describe(
      'steps after which a token has the expert that most tokens of its id and domain chose in the last third of them, with weight 1, and the gate decides no more (as in StableMoE); 0: never',
    ),
};

type VotingMoe = MoeWith<typeof voteTableField>;
type Learned = Pick<Router, 'route'> & Partial<Pick<Router, 'state' | 'endStep' | 'skipStep' | 'table'>>;

export const oneExpertVotes: MoeRule<VotingMoe & MoeWith<typeof topKField>> = ({
  tableAfter,
  expertsPerToken,
}) =>
  unless(
    tableAfter === 0 || expertsPerToken === 1,
    'tableAfter',
    'is for one expert a token: set expertsPerToken 1, or tableAfter 0',
  );

/**
 * Returns a learned router whose choices become a table, in the two stages of StableMoE (arXiv 2204.08396): a gate that
 * keeps learning changes the experts of a token until the end of training, and what the previous expert has learned
 * about the token is lost. StableMoE distils the gate into a word embedding; here the tokens of each id and domain vote
 * in the last third of the first stage. In the second stage the gate is not used, and the weight is 1.
 *
 * @param expertsChoose whether tokens that no expert keeps vote for having none; otherwise capacity drops tokens as before
 * @returns `learned` itself if there is no second stage
 */
export function withVoteTable(
  context: RouterContext<VotingMoe>,
  learned: Learned,
  expertsChoose = false,
): Learned {
  const { moe, layer, vocabSize, expertsOfDomain, transport, below } = context;
  const { tableAfter } = moe;
  if (tableAfter === 0) return learned;
  const stepsDone = new Float32Array(1);
  const columns = moe.numExperts + (expertsChoose ? 1 : 0);
  // Votes of the ids of each domain, row-major [D, V, E]. If experts choose, [D, V, E + 1], where the last column counts tokens that
  // no expert has kept. Exact up to 2^24.
  const votes = new Float32Array(expertsOfDomain.length * vocabSize * columns);
  /** Indices of the votes of the current step. */
  let ofStep: number[] = [];
  let elected: Int32Array | null = null;

  function table(): Int32Array | null {
    if (stepsDone[0]! < tableAfter) return null;
    elected ??= electedExperts(votes, {
      ...context,
      tablesBelow: below.flatMap((router) => router.table?.() ?? []),
    });
    return elected;
  }

  /** Counts the choices of all ranks, so that their votes are equal. */
  function vote({ tokenIdsT, domainsT }: RouterInput, { chosenTK, expertsTK }: RoutingDecision): void {
    const votesT = expertsChoose ? expertsTK : chosenTK;
    const mine = tokenIdsT.map((id, t) => {
      const column = votesT[t]! < 0 ? columns - 1 : votesT[t]!;
      return (domainsT[t]! * vocabSize + id) * columns + column;
    });
    for (const theirs of allGather(transport, { mine, purpose: 'votes', layer }))
      for (const index of theirs) ofStep.push(index);
  }

  return {
    state: new Map([...(learned.state ?? []), ['votes', votes], ['votes_step', stepsDone]]),
    table,
    route(input) {
      const experts = table();
      if (experts !== null) {
        const { tokenIdsT, domainsT, training } = input;
        const chosenT = tokenIdsT.map((id, t) => experts[domainsT[t]! * vocabSize + id]!);
        // If experts choose, the table already leaves out the tokens that they would drop.
        const fitted = classicFit(context, chosenT, training && !expertsChoose);
        return { ...fitted, weightsTK: null, auxiliaryLoss: null, gateCosine: null };
      }
      const decision = learned.route(input);
      if (input.training && stepsDone[0]! >= Math.floor((2 * tableAfter) / 3)) vote(input, decision);
      return decision;
    },
    endStep() {
      learned.endStep?.();
      for (const index of ofStep) votes[index]!++;
      ofStep = [];
      stepsDone[0]!++;
    },
    skipStep() {
      learned.skipStep?.();
      ofStep = [];
    },
  };
}

/**
 * Returns the expert with the most votes; ties go to the lower id. Ids without a vote are distributed over the group of the
 * domain. If tokens voted for having none, the number of ids with experts is chosen so that they hold the share of tokens that
 * was kept: first the ids that have the fewest experts in the layers below, and among these the ones with the largest kept share.
 * Otherwise the experts of all layers would leave out the same ids, as much of a token's activations comes from the layers below.
 *
 * @param votes row-major [D, V, E], or [D, V, E + 1]
 * @param tablesBelow tables of the sparse layers below
 * @returns row-major [D, V]; -1 for none
 */
export function electedExperts(
  votes: Float32Array,
  {
    vocabSize,
    expertsOfDomain,
    moe,
    tablesBelow,
  }: Pick<RouterContext, 'vocabSize' | 'expertsOfDomain' | 'moe'> & {
    readonly tablesBelow: readonly Int32Array[];
  },
): Int32Array {
  const numKeys = expertsOfDomain.length * vocabSize;
  const columns = votes.length / numKeys;
  const table = Int32Array.from({ length: numKeys }, (_, key) => {
    const group = expertsOfDomain[Math.floor(key / vocabSize)]!;
    let best = group[(key % vocabSize) % group.length]!;
    let most = 0;
    for (const expert of group) {
      const voted = votes[key * columns + expert]!;
      if (voted > most) [best, most] = [expert, voted];
    }
    return best;
  });
  if (columns > moe.numExperts) dropIds(table, votes, tablesBelow);
  return table;
}

function dropIds(table: Int32Array, votes: Float32Array, tablesBelow: readonly Int32Array[]): void {
  const columns = votes.length / table.length;
  const ids = [...table.keys()].map((key) => {
    const ofKey = votes.subarray(key * columns, (key + 1) * columns);
    const tokens = ofKey.reduce((a, b) => a + b, 0);
    const expertsBelow = tablesBelow.filter((below) => below[key]! >= 0).length;
    return { key, tokens, expertsBelow, kept: tokens - ofKey[columns - 1]! };
  });
  const met = ids.filter(({ tokens }) => tokens > 0);
  met.sort(
    (a, b) => a.expertsBelow - b.expertsBelow || b.kept / b.tokens - a.kept / a.tokens || a.key - b.key,
  );
  let left = met.reduce((sum, { kept }) => sum + kept, 0);
  for (const { key, tokens } of met) {
    if (left <= 0) table[key] = -1;
    left -= tokens;
  }
}
