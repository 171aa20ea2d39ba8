import type { LayerRouting, ModelConfig } from './messages.js';
import { env, InferenceSession, Tensor } from './vendor/onnxruntime.js';

// Shapes: S positions, E experts, K heads of keys and values, V vocabulary.

const PAST = 'past_key_values.';

/** Keys and values of the tokens so far, by name, [1, K, S, size of a head]. */
export type Cache = Readonly<Record<string, Tensor>>;

/** A forward pass over a sequence, or over its new tokens. */
export interface Pass {
  /** Logits of the token after the last one, [V]. */
  readonly logits: Float32Array;
  /** Routing of a new token, by sparse layer. */
  routing(index: number): LayerRouting[];
  /** Keys and values, including those of the new tokens. */
  readonly cache: Cache;
}

/** The exported graph in ONNX Runtime's WebAssembly. */
export class RoutedModel {
  readonly emptyCache: Cache;
  readonly #names: readonly string[];

  private constructor(
    private readonly session: InferenceSession,
    readonly config: ModelConfig,
  ) {
    this.#names = session.inputNames
      .filter((name) => name.startsWith(PAST))
      .map((name) => name.slice(PAST.length));
    const empty = new Tensor('float32', new Float32Array(), [1, config.numKeyValueHeads, 0, config.headDim]);
    this.emptyCache = Object.fromEntries(this.#names.map((name) => [name, empty]));
  }

  static async open(wasm: ArrayBuffer, model: ArrayBuffer, config: ModelConfig): Promise<RoutedModel> {
    // More threads would require headers that a plain static server does not send.
    env.wasm.numThreads = 1;
    env.wasm.wasmBinary = wasm;
    return new RoutedModel(await InferenceSession.create(new Uint8Array(model)), config);
  }

  /** @param tokenIds the new tokens; together with those of the cache at most `seqLen` */
  async run(tokenIds: readonly number[], domain: number, cache: Cache): Promise<Pass> {
    const { vocabSize, numExperts, sparseLayers, domains } = this.config;
    const past = this.#names.map((name) => [`${PAST}${name}`, cache[name]]);
    const length = cache[this.#names[0]!]!.dims[2]! + tokenIds.length;
    const outputs = await this.session.run({
      ...Object.fromEntries(past),
      input_ids: new Tensor('int64', BigInt64Array.from(tokenIds, BigInt), [1, tokenIds.length]),
      attention_mask: new Tensor('int64', new BigInt64Array(length).fill(1n), [1, length]),
      // The graph of a model of one domain does not ask for it.
      ...(domains.length > 1 && { domain: new Tensor('int64', BigInt64Array.of(BigInt(domain)), [1]) }),
    });
    const rowOf = (name: string, index: number, length: number) =>
      (outputs[name]!.data as Float32Array).subarray(index * length, (index + 1) * length);
    return {
      logits: rowOf('logits', tokenIds.length - 1, vocabSize),
      routing: (index) =>
        sparseLayers.map((layer) => ({
          weights: [...rowOf(`layers.${layer}.weights`, index, numExperts)],
          affinities: [...rowOf(`layers.${layer}.affinities`, index, numExperts)],
        })),
      cache: Object.fromEntries(this.#names.map((name) => [name, outputs[`present.${name}`]!])),
    };
  }
}
