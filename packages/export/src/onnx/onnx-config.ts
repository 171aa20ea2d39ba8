/** config.json of an ONNX export: facts that a program needs in addition to graph and tokenizer. */
export interface OnnxConfig {
  /** Domains by id, which is the input `domain` of a graph with several. */
  readonly domains: readonly string[];
  /** Maximum length of a sequence, in tokens. */
  readonly seqLen: number;
  readonly vocabSize: number;
  /** Id of the token that precedes every document and ends it. */
  readonly endOfText: number;
  /** Name of the router, or of its file. */
  readonly router: string;
  readonly numExperts: number;
  /** Experts that a domain may use, by domain id. */
  readonly expertsOfDomain: readonly (readonly number[])[];
  /** Indices of the layers with experts; each has outputs `layers.I.weights` and `layers.I.affinities`. */
  readonly sparseLayers: readonly number[];
}
