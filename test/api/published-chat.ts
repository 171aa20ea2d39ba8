import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { counterparts } from '../../src/checkpoint/huggingface/counterparts.js';
import { readPublishedConfig } from '../../src/checkpoint/huggingface/published-config.js';
import { writeSafetensors } from '../../src/checkpoint/safetensors.js';
import { tokenizerJson, trainBpe } from '../../src/data/tokenizer/bpe-trainer.js';
import { randomValues } from '../model/support.js';

/** Templates of the two common forms. */
export const CHATML = {
  bos_token: null,
  eos_token: '<|im_end|>',
  chat_template: `{%- if messages[0]['role'] != 'system' %}
    {{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
{%- endfor %}
{%- if tools %}{{ raise_exception('no tools') }}{% endif %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
`,
};
export const LLAMA_3 = {
  bos_token: { content: '<|begin_of_text|>', lstrip: false },
  eos_token: '<|eot_id|>',
  chat_template: `{% set loop_messages = messages %}{% for message in loop_messages %}
{% if (message['role'] == 'user') and loop.first and loop.length > 3 %}{{ raise_exception('begin with the system, please') }}{% endif %}
{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}
{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}
{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}`,
};
const SPECIAL = [
  '<|im_start|>',
  '<|im_end|>',
  '<|begin_of_text|>',
  '<|start_header_id|>',
  '<|end_header_id|>',
  '<|eot_id|>',
];
const NUM_ORDINARY = 280;
const VOCABULARY = NUM_ORDINARY + SPECIAL.length;
/** Id of a special token. */
export const idOf = (name: string): number => NUM_ORDINARY + SPECIAL.indexOf(name);

/** Writes a folder as on the Hub: a small Mixtral of random weights, its tokenizer and its chat settings. */
export function writePublishedChat(folder: string, settings: object): void {
  mkdirSync(folder, { recursive: true });
  const write = (name: string, value: object) =>
    writeFileSync(path.join(folder, name), JSON.stringify(value));
  write('config.json', {
    architectures: ['MixtralForCausalLM'],
    vocab_size: VOCABULARY,
    hidden_size: 16,
    intermediate_size: 16,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    max_position_embeddings: 256,
    num_local_experts: 4,
    num_experts_per_tok: 2,
    sliding_window: null,
  });
  const text = 'system user assistant the cat sat on the mat, and who sat on the cat? '.repeat(20);
  const tokenizer = JSON.parse(tokenizerJson(trainBpe([text], NUM_ORDINARY)));
  const [usual] = tokenizer.added_tokens;
  // One special token also strips the whitespace after it, as some of Phi-3 do.
  const added = SPECIAL.map((content) => ({
    ...usual,
    id: idOf(content),
    content,
    rstrip: content === '<|im_end|>',
  }));
  write('tokenizer.json', { ...tokenizer, added_tokens: [usual, ...added] });
  write('tokenizer_config.json', settings);
  const { config, architecture } = readPublishedConfig(folder);
  const tensors = counterparts(config, architecture).map(({ published, shape, isTransposed }) => {
    const length = shape.reduce((product, side) => product * side, 1);
    const data = shape.length === 1 ? new Float32Array(length).fill(1) : randomValues(published, length, 0.4);
    return { name: published, shape: isTransposed ? shape.toReversed() : shape, data };
  });
  writeSafetensors(path.join(folder, 'model.safetensors'), tensors);
}
