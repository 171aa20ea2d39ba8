import { allGather } from '../collectives/all-gather.js';
import { classicCapacity } from './capacity.js';
import { heldExperts } from './domain-groups.js';
import { firstFit } from './first-fit.js';
import { count } from './numeric-fields.js';
import { type MoeRule, type MoeWith, unless } from './policy.js';
import type { Router, RouterContext, RouterInput, RoutingDecision } from './router.js';
import type { topKField } from './top-choices.js';

// Shapes: T tokens of this rank, N tokens of all ranks, E experts, V vocabulary, D domains.

export const voteTableField = {
  tableAfter: count
    .default(0)
    .describe(
      'steps after which a token has the expert that most tokens of its id and domain chose in the last third of them, with weight 1, and the gate decides no more (as in StableMoE); 0: never',
    ),
};

type VotingMoe = MoeWith<typeof voteTableField>;
type Learned = Pick<Router, 'route'> & Partial<Pick<Router, 'state' | 'endStep' | 'skipStep'>>;

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
 * A learned router whose choices become a table, in the two stages of StableMoE (arXiv 2204.08396): a gate that goes on learning
 * changes the experts of a token until the end of training, and what an expert has learned of it is lost. StableMoE distils the
 * gate into a word embedding; here the tokens of an id and domain vote in the last third of the first stage. In the second stage
 * the gate has no work, and the weight is 1.
 *
 * @returns `learned` as it is without a second stage
 */
export function withVoteTable(context: RouterContext<VotingMoe>, learned: Learned): Learned {
  if (context.moe.tableAfter === 0) return learned;
  const voting = new VotingRouter(context, learned);
  return {
    state: voting.state,
    route: (input) => voting.route(input),
    endStep: () => voting.endStep(),
    skipStep: () => voting.skipStep(),
  };
}

class VotingRouter {
  readonly #step = new Float32Array(1);
  /** Votes of the ids of each domain for experts, row-major [D, V, E]; exact up to 2^24. */
  readonly #votes: Float32Array;
  readonly state: ReadonlyMap<string, Float32Array>;
  /** Indices of the votes of the step under way. */
  #ofStep: number[] = [];
  /** Expert of each id of each domain, row-major [D, V]; null in the first stage. */
  #table: Int32Array | null = null;

  constructor(
    private readonly context: RouterContext<VotingMoe>,
    private readonly learned: Learned,
  ) {
    const { vocabSize, expertsOfDomain, moe } = context;
    this.#votes = new Float32Array(expertsOfDomain.length * vocabSize * moe.numExperts);
    this.state = new Map([...(learned.state ?? []), ['votes', this.#votes], ['votes_step', this.#step]]);
  }

  route(input: RouterInput): RoutingDecision {
    const { tableAfter } = this.context.moe;
    if (this.#step[0]! >= tableAfter) return this.#routeByTable(input);
    const decision = this.learned.route(input);
    if (input.training && this.#step[0]! >= Math.floor((2 * tableAfter) / 3)) this.#vote(input, decision);
    return decision;
  }

  endStep(): void {
    this.learned.endStep?.();
    for (const vote of this.#ofStep) this.#votes[vote]!++;
    this.#ofStep = [];
    this.#step[0]!++;
  }

  skipStep(): void {
    this.learned.skipStep?.();
    this.#ofStep = [];
  }

  /** Takes the choices of all ranks, so that their votes are equal. */
  #vote({ tokenIdsT, domainsT }: RouterInput, { chosenTK }: RoutingDecision): void {
    const { transport, layer, vocabSize, moe } = this.context;
    const mine = tokenIdsT.map((id, t) => (domainsT[t]! * vocabSize + id) * moe.numExperts + chosenTK[t]!);
    for (const votes of allGather(transport, { mine, purpose: 'votes', layer })) this.#ofStep.push(...votes);
  }

  #routeByTable({ tokenIdsT, domainsT, training }: RouterInput): RoutingDecision {
    const { moe, vocabSize, topology } = this.context;
    this.#table ??= electedExperts(this.#votes, this.context);
    const table = this.#table;
    const chosenT = tokenIdsT.map((id, t) => table[domainsT[t]! * vocabSize + id]!);
    const factor = training ? moe.capacityFactor : null;
    const capacity = classicCapacity(factor, chosenT.length * topology.worldSize, 1, heldExperts(moe).count);
    const fitted = firstFit(this.context, chosenT, capacity);
    return { ...fitted, weightsTK: null, auxiliaryLoss: null, gateCosine: null };
  }
}

/**
 * The expert with the most votes, the lower id of equals; ids without a vote are dealt over the group of the domain.
 *
 * @param votes row-major [D, V, E]
 * @returns row-major [D, V]
 */
export function electedExperts(
  votes: Float32Array,
  { vocabSize, expertsOfDomain, moe }: Pick<RouterContext, 'vocabSize' | 'expertsOfDomain' | 'moe'>,
): Int32Array {
  return Int32Array.from({ length: expertsOfDomain.length * vocabSize }, (_, key) => {
    const group = expertsOfDomain[Math.floor(key / vocabSize)]!;
    let best = group[(key % vocabSize) % group.length]!;
    let most = 0;
    for (const expert of group) {
      const voted = votes[key * moe.numExperts + expert]!;
      if (voted > most) [best, most] = [expert, voted];
    }
    return best;
  });
}
