/** Matrices of a gated feed-forward by the names of their parameters. */
export const MLP = { w_gate: 'gate_proj', w_in: 'up_proj', w_out: 'down_proj' };

const MIXTRAL = {
  /** Module of a layer with the router and the experts. */
  block: 'block_sparse_moe',
  matrices: { w_gate: 'w1', w_in: 'w3', w_out: 'w2' },
  numExpertsField: 'num_local_experts' as 'num_local_experts' | 'num_experts',
  widthField: 'intermediate_size' as 'intermediate_size' | 'moe_intermediate_size',
  /** Whether fields say which layers are dense and whether weights add up to 1; else all are sparse, and they do. */
  isFlexible: false,
  /** Whether there is always a shared expert with a gate. */
  hasSharedExpert: false,
};
export type Mixture = typeof MIXTRAL;

const QWEN: Mixture = {
  block: 'mlp',
  matrices: MLP,
  numExpertsField: 'num_experts',
  widthField: 'moe_intermediate_size',
  isFlexible: true,
  hasSharedExpert: false,
};
const SHARED = { ...QWEN, hasSharedExpert: true };

const NO_BIAS = { attention_bias: false };
const NO_WINDOW = { use_sliding_window: false };

const LLAMA = {
  type: 'llama',
  /** Whether queries, keys and values have biases, or the field that says so. */
  bias: false as boolean | 'qkv_bias',
  qkNorm: false,
  /** Values of fields that config.json may omit; a null headDim is hidden size / number of heads. */
  ropeTheta: 10_000,
  normEpsilon: 1e-6,
  headDim: null as number | null,
  mixture: null as Mixture | null,
  /** Fields with one value for all models of family llama. */
  fixed: { ...NO_BIAS, mlp_bias: false } as object,
};
const NORMED = { ...LLAMA, qkNorm: true };

/** Classes of transformers that compute models of family llama. An export takes the first that computes its model. */
export const ARCHITECTURES = {
  LlamaForCausalLM: LLAMA,
  Qwen2ForCausalLM: { ...LLAMA, type: 'qwen2', bias: true, fixed: NO_WINDOW },
  Qwen3ForCausalLM: { ...NORMED, type: 'qwen3', headDim: 128, fixed: { ...NO_BIAS, ...NO_WINDOW } },
  MixtralForCausalLM: {
    ...LLAMA,
    type: 'mixtral',
    ropeTheta: 1_000_000,
    normEpsilon: 1e-5,
    mixture: MIXTRAL,
    fixed: { sliding_window: null },
  },
  Qwen2MoeForCausalLM: { ...LLAMA, type: 'qwen2_moe', bias: 'qkv_bias', mixture: SHARED, fixed: NO_WINDOW },
  Qwen3MoeForCausalLM: { ...NORMED, type: 'qwen3_moe', mixture: QWEN, fixed: { ...NO_WINDOW, ...NO_BIAS } },
} satisfies Record<string, typeof LLAMA>;

export type Architecture = keyof typeof ARCHITECTURES;
