import { choiceReader, type RoutedChoice } from '../routing/choices/routed-choice.js';
import type { RoutingDecision } from '../routing/router.js';

/** A token that passed through the layers, and the experts that it chose. */
export interface RoutedToken {
  readonly tokenId: number;
  /** The sparse layers from the bottom; `layer` is the index among all layers. */
  readonly layers: readonly { readonly layer: number; readonly choices: readonly RoutedChoice[] }[];
}

/** Tokens of a pass whose routes are wanted. */
export interface WantedRoutes {
  readonly tokenIds: readonly number[];
  /** Index of the first of these tokens in the batch; the others follow. */
  readonly first: number;
  readonly onRoutes: (tokens: readonly RoutedToken[]) => void;
}

/** Collects the routes of one pass over the layers. */
export class RouteCollector {
  readonly #tokens: { readonly tokenId: number; readonly layers: RoutedToken['layers'][number][] }[][];

  constructor(private readonly wanted: readonly WantedRoutes[]) {
    this.#tokens = wanted.map(({ tokenIds }) => tokenIds.map((tokenId) => ({ tokenId, layers: [] })));
  }

  /** Receives the decision of a layer; undefined if no routes are wanted. */
  get onDecision(): ((layer: number, decision: RoutingDecision) => void) | undefined {
    if (this.wanted.length === 0) return undefined;
    return (layer, decision) => {
      const choicesOf = choiceReader(decision);
      for (const [i, { first }] of this.wanted.entries())
        for (const [s, { layers }] of this.#tokens[i]!.entries())
          layers.push({ layer, choices: choicesOf(first + s) });
    };
  }

  /** Ends the pass: calls every `onRoutes`. */
  end(): void {
    for (const [i, { onRoutes }] of this.wanted.entries()) onRoutes(this.#tokens[i]!);
  }
}
