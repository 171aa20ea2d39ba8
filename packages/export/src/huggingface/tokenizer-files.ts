import { readFileSync } from 'node:fs';
import { TOKENIZER_FILE } from '@locmoe/run-format';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { withoutDummyPrefix } from 'locmoe/internal/data/tokenizer/sentence-piece';
import type { OutputFolder } from '../output-folder.js';
import { chatTemplate } from './chat-template.js';

/** Returns the fields of config.json and generation_config.json for a model with one special token. */
export function specialTokenIds(endOfText: number) {
  return { bos_token_id: endOfText, eos_token_id: endOfText, pad_token_id: endOfText };
}

/** Writes tokenizer.json, and the two files beside it that tell AutoTokenizer how to use it. */
export async function writeTokenizer(
  output: OutputFolder,
  tokenizerFile: string,
  endOfText: string,
  config: Pick<RunConfig, 'model' | 'data'>,
): Promise<void> {
  const special = { bos_token: endOfText, eos_token: endOfText, pad_token: endOfText };
  await output.write(
    TOKENIZER_FILE,
    withoutTemplate(withoutDummyPrefix(readFileSync(tokenizerFile, 'utf8'))),
  );
  await output.write(
    'tokenizer_config.json',
    json({
      tokenizer_class: 'PreTrainedTokenizerFast',
      ...special,
      // Decoding keeps every space of the text.
      clean_up_tokenization_spaces: false,
      model_max_length: config.model.seqLen,
      chat_template: chatTemplate(config),
      // The model takes no token types.
      model_input_names: ['input_ids', 'attention_mask'],
      padding_side: 'left',
    }),
  );
  await output.write('special_tokens_map.json', json(special));
}

/** Removes the post-processor: that of another model may add tokens that texts did not have in training. */
function withoutTemplate(tokenizerJson: string): string {
  const tokenizer = JSON.parse(tokenizerJson);
  const addsTokens = JSON.stringify(tokenizer.post_processor ?? null).includes('"TemplateProcessing"');
  return addsTokens ? json({ ...tokenizer, post_processor: null }) : tokenizerJson;
}

/** Formats JSON as HuggingFace's programs do. */
export function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
