import type { ShownToken } from '../browser/messages.js';
import type { RouteChoice, RouteToken } from './api.js';

/** A token with the choices of each sparse layer. */
export interface ReadToken extends ShownToken {
  /** Token id; null for the last token of an answer, which the model has not read. */
  readonly id: number | null;
  readonly layers: readonly {
    readonly layer: number;
    readonly weights: readonly number[];
    readonly choices: readonly RouteChoice[];
  }[];
}

/** Prepares for display the tokens that the model reads for one answer. */
export class TokenReader {
  /** Ids of all tokens so far. */
  readonly ids: number[] = [];
  readonly #utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

  /**
   * @param known ids that the model has read for earlier answers; only the rest of the prompt is shown
   * @param endOfText name of the token with which texts begin
   */
  constructor(
    private readonly known: readonly number[],
    private readonly numExperts: number,
    private readonly endOfText: string,
  ) {}

  /** @param routes the next tokens; those of the prompt come all at once */
  add(routes: readonly RouteToken[]): ReadToken[] {
    const isPrompt = this.ids.length === 0;
    this.ids.push(...routes.map(({ id }) => id));
    const tokens = routes.map((route): ReadToken => {
      const { token, id, layers } = route;
      const kind = token === this.endOfText ? 'start' : isPrompt ? 'prompt' : 'generated';
      const text = kind === 'start' ? '' : this.#utf8.decode(bytesOf(token), { stream: true });
      return { id, kind, text, layers: layers.map((each) => this.#layerOf(each)) };
    });
    return isPrompt ? tokens.slice(overlap(this.known, this.ids)) : tokens;
  }

  #layerOf({ layer, choices }: RouteToken['layers'][number]): ReadToken['layers'][number] {
    const weights = Array<number>(this.numExperts).fill(0);
    for (const { expert, weight, outcome } of choices) if (outcome === 'kept') weights[expert] = weight;
    return { layer, weights, choices };
  }
}

/** Returns the number of ids at the end of `before` with which `after` begins. */
function overlap(before: readonly number[], after: readonly number[]): number {
  for (let start = 0; start < before.length; start++) {
    const length = before.length - start;
    if (length <= after.length && before.every((id, i) => i < start || id === after[i - start]))
      return length;
  }
  return 0;
}

/** Returns the bytes of a token by its name, which is like `bytes:\xe4\xb8` for a part of a character. */
function bytesOf(token: string): Uint8Array {
  const [, parts] = /^bytes:((?:\\x[\da-f]{2})+)$/.exec(token) ?? [];
  if (parts === undefined) return new TextEncoder().encode(token);
  return Uint8Array.from(parts.split('\\x').slice(1), (hex) => Number.parseInt(hex, 16));
}
