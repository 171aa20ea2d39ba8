import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadTokenizer } from 'locmoe/internal/data/tokenizer/tokenizer';
import type { ExportTarget } from '../target.js';
import { gpt2Model, isGpt2 } from './gpt2.js';
import { locmoeModel } from './locmoe.js';
import { modelCard } from './model-card.js';
import { factsOfRun } from './run-facts.js';
import { json, specialTokenIds, writeTokenizer } from './tokenizer-files.js';
import { asType, writeWeights } from './weights.js';

const PYTORCH = fileURLToPath(new URL('../../pytorch', import.meta.url));
const PYTHON_FILES = ['configuration_locmoe.py', 'locmoe.py', 'modeling_locmoe.py'];

/** A folder for transformers: GPT-2 where the model is one, else with Python files of its own. */
export const huggingface: ExportTarget = {
  description:
    'a folder for PyTorch and transformers; a dense model without query layer becomes a plain GPT-2',
  takesDtype: true,
  async write(checkpoint, output, dtype) {
    const { manifest, tokenizerFile } = checkpoint;
    const asGpt2 = isGpt2(manifest.config);
    const { config, tensors } = asGpt2 ? gpt2Model(checkpoint) : locmoeModel(checkpoint);
    const { endOfText, endOfTextName } = loadTokenizer(tokenizerFile, manifest.config.data.endOfText);
    const tokenIds = specialTokenIds(endOfText);
    await output.write('config.json', json({ ...config, ...tokenIds, torch_dtype: dtype }));
    await output.write('generation_config.json', json(tokenIds));
    await writeTokenizer(output, tokenizerFile, endOfTextName, manifest.config);
    await output.write('README.md', modelCard(manifest, factsOfRun(checkpoint), asGpt2, endOfTextName));
    if (!asGpt2) for (const file of PYTHON_FILES) await output.copy(path.join(PYTORCH, file), file);
    await writeWeights(
      output,
      tensors.map((tensor) => asType(tensor, dtype)),
    );
  },
};
