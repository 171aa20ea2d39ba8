/** The page sends these to its worker, which trains as they say. */
export interface Settings {
  /** Texts by the name of their domain. */
  readonly texts: Readonly<Record<string, string>>;
  readonly router: string;
  readonly numExperts: number;
  readonly dModel: number;
  readonly steps: number;
}

/** A token of a text that is not trained on, with the expert that it has in the upper sparse layer; -1 for none. */
export type RoutedToken = readonly [text: string, expert: number];

export interface Progress {
  readonly step: number;
  /** Mean loss of the steps since the last report, in nats per token. */
  readonly loss: number;
  readonly tokensPerS: number;
  /** Texts that are not trained on, by domain. */
  readonly heldOut: readonly {
    readonly loss: number;
    readonly tokens: readonly RoutedToken[];
    /** Share of the tokens that go to each expert of the upper sparse layer. */
    readonly shares: readonly number[];
  }[];
}

export type FromTrainer =
  | { readonly kind: 'started'; readonly device: string; readonly numParameters: number }
  | { readonly kind: 'progress'; readonly progress: Progress }
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly message: string };
