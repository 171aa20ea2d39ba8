/** How a parameter starts; normal values are drawn from a generator seeded by (seed, name) so that every layout starts alike. */
export type Initializer =
  | { readonly kind: 'normal'; readonly std: number }
  | { readonly kind: 'constant'; readonly value: number };

export interface ParameterSpec {
  /** Global name, e.g. `layers.3.experts.5.w_in`; the same in checkpoints of every layout. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly init: Initializer;
  /** `shared`: replicated on every rank. `expert`: held by the ranks that own the expert. */
  readonly placement: 'shared' | 'expert';
  /** Whether weight decay applies (matrices yes; gains, biases and embeddings of position no). */
  readonly decay: boolean;
}
