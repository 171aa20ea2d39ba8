import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { loadTokenizer } from 'locmoe/internal/data/tokenizer/tokenizer';
import type { OutputFolder } from '../output-folder.js';
import type { ExportTarget, WeightType } from '../target.js';
import { gpt2Model, isGpt2 } from './gpt2.js';
import { locmoeModel } from './locmoe.js';
import { modelCard } from './model-card.js';
import { publishedModel, publishedRefusal } from './published.js';
import { factsOfRun } from './run-facts.js';
import { json, specialTokenIds, writeTokenizer } from './tokenizer-files.js';
import { asType, type HuggingFaceModel, writeWeights } from './weights.js';

const PYTORCH = fileURLToPath(new URL('../../pytorch', import.meta.url));
const PYTHON_FILES = ['configuration_locmoe.py', 'locmoe.py', 'modeling_locmoe.py'];

/**
 * A folder for transformers, with a class of transformers that computes the model, such as GPT-2 or Mixtral,
 * or otherwise with Python files of our own.
 */
export const huggingface: ExportTarget = {
  description:
    'a folder for PyTorch and transformers; a dense model without query layer becomes a plain GPT-2, one of family llama a ' +
    'Llama, Mixtral or Qwen2Moe',
  types: ['float32', 'bfloat16'],
  write: (checkpoint, output, dtype) => writeModel(checkpoint, modelOf(checkpoint), output, dtype),
  lines(checkpoint) {
    const isLlama = checkpoint.manifest.config.model.family === 'llama';
    const refusal = isLlama ? publishedRefusal(checkpoint) : null;
    return refusal === null
      ? []
      : [`${refusal.message}; the folder has the model's own code (trust_remote_code)`];
  },
};

/** Writes a checkpoint in one of the forms that it has for transformers. */
export async function writeModel(
  checkpoint: Checkpoint,
  { config, tensors }: HuggingFaceModel,
  output: OutputFolder,
  dtype: WeightType,
): Promise<void> {
  const { manifest, tokenizerFile } = checkpoint;
  const { endOfText, endOfTextName } = loadTokenizer(tokenizerFile, manifest.config.data.endOfText);
  const tokenIds = specialTokenIds(endOfText);
  await output.write('config.json', json({ ...config, ...tokenIds, torch_dtype: dtype }));
  await output.write('generation_config.json', json(tokenIds));
  await writeTokenizer(output, tokenizerFile, endOfTextName, manifest.config);
  await output.write(
    'README.md',
    modelCard(manifest, factsOfRun(checkpoint), config.model_type, endOfTextName),
  );
  if (config.model_type === 'locmoe')
    for (const file of PYTHON_FILES) await output.copy(path.join(PYTORCH, file), file);
  await writeWeights(
    output,
    tensors.map((tensor) => asType(tensor, dtype)),
  );
}

function modelOf(checkpoint: Checkpoint): HuggingFaceModel {
  const { config } = checkpoint.manifest;
  if (isGpt2(config)) return gpt2Model(checkpoint);
  return config.model.family === 'llama' && publishedRefusal(checkpoint) === null
    ? publishedModel(checkpoint)
    : locmoeModel(checkpoint);
}
