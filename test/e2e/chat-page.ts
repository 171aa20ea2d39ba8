import type { Locator } from 'playwright-core';
import type { TokenRoutes } from '../../src/api/token-routes.js';

/** Answers that the server at `url` is writing. */
export async function runningAt(url: string): Promise<number> {
  const health = (await (await fetch(`${url}/health`)).json()) as { running: number };
  return health.running;
}

/** Experts that a card shows, by token and layer. */
export function shownTakers(card: Locator): Promise<number[][][]> {
  return card
    .locator('.token:has(.takers)')
    .evaluateAll((tokens) =>
      tokens.map((token) =>
        [...token.querySelectorAll('.takers')].map((row) =>
          [...row.querySelectorAll('[data-expert]')].map((taker) =>
            Number(taker.getAttribute('data-expert')),
          ),
        ),
      ),
    );
}

/** The same experts from the API's routes. */
export function toldTakers(routes: readonly TokenRoutes[]): number[][][] {
  return routes.map(({ layers }) =>
    layers.map(({ choices }) =>
      choices.flatMap(({ expert, outcome }) => (outcome === 'kept' ? [expert] : [])).sort(),
    ),
  );
}
