// Model folders in the format of transformers, by their config.json.

export const VOCABULARY = 270;

const COMMON = {
  // Rows that no token uses, as many published models have.
  vocab_size: VOCABULARY,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 16,
  hidden_act: 'silu',
  rms_norm_eps: 1e-5,
  rope_theta: 1000,
  tie_word_embeddings: false,
};
export const LLAMA = { ...COMMON, architectures: ['LlamaForCausalLM'] };
export const MIXTRAL = {
  ...COMMON,
  architectures: ['MixtralForCausalLM'],
  num_local_experts: 4,
  num_experts_per_tok: 2,
  sliding_window: null,
};
export const QWEN2_MOE = {
  ...COMMON,
  architectures: ['Qwen2MoeForCausalLM'],
  mlp_only_layers: [0],
  num_experts: 4,
  num_experts_per_tok: 3,
  norm_topk_prob: false,
  moe_intermediate_size: 20,
  shared_expert_intermediate_size: 40,
  use_sliding_window: false,
  sliding_window: 8,
};
const { shared_expert_intermediate_size: _, ...QWEN3_MOE } = {
  ...QWEN2_MOE,
  norm_topk_prob: true,
  architectures: ['Qwen3MoeForCausalLM'],
};
/** One of the four frequencies of a head stays, two are interpolated and one is divided. */
const LLAMA_3_ROPE = {
  rope_type: 'llama3',
  factor: 8,
  low_freq_factor: 0.25,
  high_freq_factor: 1,
  original_max_position_embeddings: 16,
};
/** config.json, type of the weights and number of files, by name. */
export const FOLDERS: Readonly<Record<string, readonly [object, string, number]>> = {
  llama: [LLAMA, 'bfloat16', 3],
  'llama, tied, float16': [
    {
      ...LLAMA,
      tie_word_embeddings: true,
      rope_theta: undefined,
      rope_parameters: { rope_type: 'default', rope_theta: 77 },
    },
    'float16',
    1,
  ],
  'llama 3': [{ ...LLAMA, rope_theta: 50, rope_scaling: LLAMA_3_ROPE }, 'float32', 1],
  'llama, linear': [{ ...LLAMA, rope_scaling: { type: 'linear', factor: 2.5 } }, 'float32', 1],
  qwen2: [{ ...COMMON, architectures: ['Qwen2ForCausalLM'] }, 'bfloat16', 1],
  'qwen3, wide heads': [{ ...COMMON, architectures: ['Qwen3ForCausalLM'], head_dim: 12 }, 'bfloat16', 1],
  qwen3_moe: [{ ...QWEN3_MOE, head_dim: 8 }, 'float32', 1],
  mixtral: [MIXTRAL, 'float32', 2],
  qwen2_moe: [QWEN2_MOE, 'bfloat16', 2],
  'qwen2_moe, renormalized': [{ ...QWEN2_MOE, norm_topk_prob: true }, 'float32', 1],
};
