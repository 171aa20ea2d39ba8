import type { RouteOutcome } from '@locmoe/run-format/routes-file';
import type { Tokenizer } from '../data/tokenizer/tokenizer.js';
import type { RoutedToken } from '../inference/routed-tokens.js';
import { tokenName } from './token-log.js';

/** One element of `routes` in an answer: a token that the model has read. */
export interface TokenRoutes {
  readonly token: string;
  readonly id: number;
  /** The sparse layers from the bottom. */
  readonly layers: readonly {
    /** Index among all layers of the model. */
    readonly layer: number;
    readonly choices: readonly {
      readonly expert: number;
      readonly weight: number;
      readonly outcome: RouteOutcome;
      /** gate + bias + preference; each of these is null if the router does not have it. */
      readonly score: number | null;
      readonly gate: number | null;
      readonly bias: number | null;
      readonly preference: number | null;
    }[];
  }[];
}

export function tokenRoutes(tokenizer: Tokenizer, { tokenId, layers }: RoutedToken): TokenRoutes {
  return {
    token: tokenName(tokenizer, tokenId),
    id: tokenId,
    layers: layers.map(({ layer, choices }) => ({
      layer,
      choices: choices.map(({ expert, weight, outcome, score }) => ({
        expert,
        weight,
        outcome,
        score: score?.sum ?? null,
        gate: score?.gate ?? null,
        bias: score?.bias ?? null,
        preference: score?.preference ?? null,
      })),
    })),
  };
}
