/** Classes of transformers that can compute models of family mixtral, with the `model_type` of their config.json. */
export const MODEL_TYPES = {
  LlamaForCausalLM: 'llama',
  Qwen2ForCausalLM: 'qwen2',
  Qwen3ForCausalLM: 'qwen3',
  MixtralForCausalLM: 'mixtral',
  Qwen2MoeForCausalLM: 'qwen2_moe',
  Qwen3MoeForCausalLM: 'qwen3_moe',
} as const;

export type Architecture = keyof typeof MODEL_TYPES;
