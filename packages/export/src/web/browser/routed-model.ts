import type { LayerRouting, ModelConfig } from './messages.js';
import { env, InferenceSession, Tensor } from './vendor/onnxruntime.js';

// Shapes: S positions, E experts, V vocabulary.

/** A pass over a sequence. */
export interface Pass {
  /** Logits of the token after the last one, [V]. */
  readonly logits: Float32Array;
  /** Routing of a position, by sparse layer. */
  routing(position: number): LayerRouting[];
}

/** The exported graph in ONNX Runtime's WebAssembly. */
export class RoutedModel {
  private constructor(
    readonly session: InferenceSession,
    readonly config: ModelConfig,
  ) {}

  static async open(wasm: ArrayBuffer, model: ArrayBuffer, config: ModelConfig): Promise<RoutedModel> {
    // More threads would need headers that a plain static server does not send.
    env.wasm.numThreads = 1;
    env.wasm.wasmBinary = wasm;
    return new RoutedModel(await InferenceSession.create(new Uint8Array(model)), config);
  }

  /** @param tokenIds at most `seqLen` */
  async run(tokenIds: readonly number[], domain: number): Promise<Pass> {
    const { vocabSize, numExperts, sparseLayers } = this.config;
    const outputs = await this.session.run({
      input_ids: new Tensor('int64', BigInt64Array.from(tokenIds, BigInt), [1, tokenIds.length]),
      domain: new Tensor('int64', BigInt64Array.of(BigInt(domain)), [1]),
    });
    const rowOf = (name: string, position: number, length: number) =>
      (outputs[name].data as Float32Array).subarray(position * length, (position + 1) * length);
    return {
      logits: rowOf('logits', tokenIds.length - 1, vocabSize),
      routing: (position) =>
        sparseLayers.map((layer) => ({
          weights: [...rowOf(`layers.${layer}.weights`, position, numExperts)],
          affinities: [...rowOf(`layers.${layer}.affinities`, position, numExperts)],
        })),
    };
  }
}
