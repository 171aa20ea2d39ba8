import type { RouteOutcome } from '@locmoe/run-format/routes-file';
import type { GateScores, RoutingDecision } from '../router.js';

// Shapes: T tokens, E experts, K choices of a token.

/** Score by which an expert is ranked: gate + bias + preference. */
export interface ChoiceScore {
  readonly gate: number;
  /** Null for a gate without biases. */
  readonly bias: number | null;
  readonly preference: number | null;
  readonly sum: number;
}

/** One choice of a token. */
export interface RoutedChoice {
  /** Index among the choices of the token. */
  readonly choice: number;
  /** Global id. */
  readonly expert: number;
  /** Weight of the expert's output; 1 for a router without weights. */
  readonly weight: number;
  readonly outcome: RouteOutcome;
  /** Null if the decision has no scores. */
  readonly score: ChoiceScore | null;
}

/**
 * Returns a function that reads the choices of a token, by its index in the batch, from a decision whose
 * tensors have not been disposed of.
 */
export function choiceReader(decision: RoutingDecision): (t: number) => RoutedChoice[] {
  const { numChoices, chosenTK, expertsTK, notChosenTK, scores } = decision;
  const weights = decision.weightsTK?.dataSync<'float32'>();
  const numExperts = decision.keptE.length;
  return (t) => {
    const choices: RoutedChoice[] = [];
    for (let choice = 0; choice < numChoices; choice++) {
      const at = t * numChoices + choice;
      const expert = chosenTK[at]!;
      if (expert < 0) continue;
      const isKept = expertsTK[at] === expert;
      choices.push({
        choice,
        expert,
        weight: weights?.[at] ?? 1,
        outcome: isKept ? 'kept' : notChosenTK?.[at] === 1 ? 'not chosen' : 'over capacity',
        score: scores === undefined ? null : scoreOf(scores, t, numExperts, expert),
      });
    }
    return choices;
  };
}

export function scoreOf(
  { gateTE, biasE, preferenceTE }: GateScores,
  t: number,
  numExperts: number,
  expert: number,
): ChoiceScore {
  const gate = gateTE[t * numExperts + expert]!;
  const bias = biasE?.[expert] ?? null;
  const preference = preferenceTE?.[t * numExperts + expert] ?? null;
  return { gate, bias, preference, sum: gate + (bias ?? 0) + (preference ?? 0) };
}
