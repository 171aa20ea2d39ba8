/** config.json of an ONNX export: facts that a program needs beside graph and tokenizer. */
export interface OnnxConfig {
  /** Position is the domain id, input `domain` of the graph. */
  readonly domains: readonly string[];
  /** Longest sequence. */
  readonly seqLen: number;
  readonly vocabSize: number;
  /** Id of the token that every document begins after, and ends with. */
  readonly endOfText: number;
  readonly router: string;
  readonly numExperts: number;
  /** Experts that a domain may use, by domain id. */
  readonly expertsOfDomain: readonly (readonly number[])[];
  /** Indices of the layers with experts; each has outputs `layers.I.weights` and `layers.I.affinities`. */
  readonly sparseLayers: readonly number[];
}
