import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { loadTokenizer } from 'locmoe/internal/data/tokenizer/tokenizer';
import { TrainerError } from 'locmoe/internal/errors';
import { expertsOfDomain } from 'locmoe/internal/routing/domain-groups';
import { withExpertTables } from '../expert-table.js';
import { json, specialTokenIds, writeTokenizer } from '../huggingface/tokenizer-files.js';
import type { OutputFolder } from '../output-folder.js';
import type { ExportTarget } from '../target.js';
import { modelFile } from './model-file.js';
import { attentionPrefixes, modelGraph } from './model-graph.js';
import type { OnnxConfig } from './onnx-config.js';

const MODEL_FILE = 'model.onnx';
const WEIGHTS_FILE = 'model.onnx_data';

export const onnx: ExportTarget = {
  description: 'one graph for ONNX Runtime and transformers.js, with the tokenizer',
  async write(checkpoint, output) {
    const { tokenizerFile } = checkpoint;
    const { config } = checkpoint.manifest;
    const { isInOneFile } = await writeGraph(checkpoint, output, 'onnx');
    const { endOfText, endOfTextName } = loadTokenizer(tokenizerFile, config.data.endOfText);
    const tokenIds = specialTokenIds(endOfText);
    await output.write(
      'config.json',
      json({ ...onnxConfig(checkpoint), ...callerConfig(config, isInOneFile), ...tokenIds }),
    );
    await output.write('generation_config.json', json(tokenIds));
    await writeTokenizer(output, tokenizerFile, endOfTextName, config);
  },
};

/**
 * Returns the fields of config.json with which transformers.js calls the graph. They say only how to call a
 * model type, not what its layers are.
 */
function callerConfig(config: RunConfig, isInOneFile: boolean) {
  const { model } = config;
  return {
    // The type stands for any decoder with a cache.
    model_type: 'gpt2',
    architectures: ['GPT2LMHeadModel'],
    n_embd: model.dModel,
    n_head: model.numHeads,
    n_layer: attentionPrefixes(config).length,
    vocab_size: model.vocabSize,
    // Without this, transformers.js looks for 8-bit weights in a browser.
    'transformers.js_config': { dtype: 'fp32', use_external_data_format: !isInOneFile },
  };
}

/**
 * Writes the graph.
 *
 * @param inOneFile whether to refuse a model whose weights do not fit into the graph's own file
 * @throws TrainerError `BAD_INPUT`
 */
export async function writeGraph(
  checkpoint: Checkpoint,
  output: OutputFolder,
  folder: string,
  inOneFile = false,
): Promise<{ readonly numParameters: number; readonly isInOneFile: boolean }> {
  const { manifest, read } = withExpertTables(checkpoint);
  const graph = modelGraph(manifest.config, read);
  const { model, weights } = modelFile(graph, WEIGHTS_FILE);
  const sizes = graph.initializers.map(({ data }) => (data instanceof Float32Array ? data.length : 0));
  const numParameters = sizes.reduce((sum, size) => sum + size, 0);
  if (inOneFile && weights.length > 0)
    throw new TrainerError(
      'BAD_INPUT',
      `a model of ${(numParameters / 1e6).toFixed(0)} million parameters is too large for a browser; export it --to onnx`,
    );
  await output.write(`${folder}/${MODEL_FILE}`, model);
  if (weights.length > 0) await output.write(`${folder}/${WEIGHTS_FILE}`, ...weights);
  return { numParameters, isInOneFile: weights.length === 0 };
}

export function onnxConfig(checkpoint: Checkpoint): OnnxConfig {
  const { manifest, tokenizerFile } = withExpertTables(checkpoint);
  const { model, moe, data } = manifest.config;
  return {
    domains: data.domains,
    seqLen: model.seqLen,
    vocabSize: model.vocabSize,
    endOfText: loadTokenizer(tokenizerFile, data.endOfText).endOfText,
    router: moe.router,
    numExperts: moe.numExperts,
    expertsOfDomain: expertsOfDomain(data.domains.length, moe).map((group) => [...group]),
    sparseLayers: Array.from({ length: model.numSparseLayers }, (_, i) => model.numDenseLayers + i),
  };
}
