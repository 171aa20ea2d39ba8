import type { LazyTensor } from '../huggingface/weights.js';
import type { GgufTensor, GgufType } from './gguf-file.js';
import { bytesIn, encodeAs, fitsRows } from './number-types.js';

/** Tensors of HuggingFace's classes by their names in llama.cpp. */
const OF_MODEL: Readonly<Record<string, string>> = {
  'model.embed_tokens': 'token_embd',
  'model.norm': 'output_norm',
  lm_head: 'output',
};
const OF_LAYER: Readonly<Record<string, string>> = {
  input_layernorm: 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.q_norm': 'attn_q_norm',
  'self_attn.k_norm': 'attn_k_norm',
  'self_attn.o_proj': 'attn_output',
  post_attention_layernorm: 'ffn_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
  'mlp.gate': 'ffn_gate_inp',
  'mlp.experts.gate_proj': 'ffn_gate_exps',
  'mlp.experts.up_proj': 'ffn_up_exps',
  'mlp.experts.down_proj': 'ffn_down_exps',
  'mlp.shared_expert.gate_proj': 'ffn_gate_shexp',
  'mlp.shared_expert.up_proj': 'ffn_up_shexp',
  'mlp.shared_expert.down_proj': 'ffn_down_shexp',
  'mlp.shared_expert_gate': 'ffn_gate_inp_shexp',
  'block_sparse_moe.gate': 'ffn_gate_inp',
  'block_sparse_moe.experts.w1': 'ffn_gate_exps',
  'block_sparse_moe.experts.w2': 'ffn_down_exps',
  'block_sparse_moe.experts.w3': 'ffn_up_exps',
};
/**
 * Gates stay float32, since rounding would change choices; so do norms and biases, which take little space.
 */
const ALWAYS_FLOAT32 = /norm|bias|ffn_gate_inp/;
/**
 * Matrices for which rounding to 4 bits changes probabilities most, relative to their size; llama.cpp also
 * keeps most of them at higher precision.
 */
const FINER_THAN_4_BITS = /^(token_embd|output)\.|attn_[kv]\./;
/** llama.cpp computes sigmoid(x) as SiLU(x) / x, which is NaN if a gate of zeros makes x 0. */
const NEARLY_0 = 1e-20;
/** Maps a type to the finer type of a matrix whose rows are not whole blocks of the former. */
const FINER: Readonly<Partial<Record<GgufType, GgufType>>> = { Q4_K: 'Q8_0', Q8_0: 'F16' };

/**
 * Returns the tensors of a class of transformers for llama.cpp: the experts of a layer are one tensor, [E, ...].
 *
 * @param type type of the matrices; a matrix whose rows are not whole blocks of it gets a more precise type
 * @param headSize head size for an architecture in which the rows of q and k have another order; null if they are ordered as
 *   in HuggingFace
 */
export function ggufTensors(
  published: readonly LazyTensor[],
  type: GgufType,
  headSize: number | null,
): GgufTensor[] {
  const parts = new Map<string, LazyTensor[]>();
  for (const tensor of published) {
    const name = nameOf(tensor.name);
    parts.set(name, [...(parts.get(name) ?? []), tensor]);
  }
  return [...parts].map(([name, tensors]) => {
    const { shape } = tensors[0]!;
    const isSharedGate = name.endsWith('ffn_gate_inp_shexp.weight');
    const ofOne = isSharedGate ? shape.slice(1) : shape;
    const whole = name.endsWith('_exps.weight') ? [tensors.length, ...shape] : ofOne;
    const own = typeOf(name, shape.at(-1)!, type);
    const isReordered = headSize !== null && /attn_[qk]\./.test(name);
    return {
      name,
      shape: whole,
      type: own,
      bytes: bytesIn(
        own,
        whole.reduce((product, length) => product * length, 1),
      ),
      *pieces() {
        for (const { read } of tensors) {
          const values = read() as Float32Array;
          const turned = isReordered ? interleaved(values, shape[0]!, headSize) : values;
          yield encodeAs(own, isSharedGate ? turned.map((value) => value || NEARLY_0) : turned);
        }
      },
    };
  });
}

function typeOf(name: string, rowLength: number, type: GgufType): GgufType {
  if (ALWAYS_FLOAT32.test(name)) return 'F32';
  const isTooCoarse = type === 'Q4_K' && FINER_THAN_4_BITS.test(name);
  if (!isTooCoarse && fitsRows(type, rowLength)) return type;
  return typeOf(name, rowLength, FINER[type]!);
}

function nameOf(published: string): string {
  const [, name, kind] = /^(.*)\.(weight|bias)$/.exec(published) as unknown as [string, string, string];
  const [, layer, rest] = /^model\.layers\.(\d+)\.(.*)$/.exec(name) ?? [];
  const own =
    layer === undefined
      ? OF_MODEL[name]!
      : `blk.${layer}.${OF_LAYER[rest!.replace(/experts\.\d+/, 'experts')]!}`;
  return `${own}.${kind}`;
}

/**
 * Reorders the rows of q or k, [heads * size, d]. HuggingFace rotates row i of a head with row i + size/2,
 * llama.cpp rotates row 2i with row 2i + 1.
 */
function interleaved(values: Float32Array, numRows: number, headSize: number): Float32Array {
  const rowLength = values.length / numRows;
  const half = headSize / 2;
  const turned = new Float32Array(values.length);
  for (let row = 0; row < numRows; row++) {
    const within = row % headSize;
    const to = row - within + (within < half ? 2 * within : 2 * (within - half) + 1);
    turned.set(values.subarray(row * rowLength, (row + 1) * rowLength), to * rowLength);
  }
  return turned;
}
