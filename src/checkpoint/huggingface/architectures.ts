/** Classes of transformers that compute what models of family mixtral do, with the `model_type` of their config.json. */
export const MODEL_TYPES = {
  LlamaForCausalLM: 'llama',
  Qwen2ForCausalLM: 'qwen2',
  MixtralForCausalLM: 'mixtral',
  Qwen2MoeForCausalLM: 'qwen2_moe',
} as const;

export type Architecture = keyof typeof MODEL_TYPES;
