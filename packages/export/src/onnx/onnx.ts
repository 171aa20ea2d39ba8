import path from 'node:path';
import type { Architecture } from 'locmoe/internal/architecture/architecture';
import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { loadTokenizer } from 'locmoe/internal/data/tokenizer/tokenizer';
import { TrainerError } from 'locmoe/internal/errors';
import { withExpertTables } from '../expert-table.js';
import { attentions, exportedArchitecture, numCachedLayers } from '../exported-architecture.js';
import { json, specialTokenIds, writeTokenizer } from '../huggingface/tokenizer-files.js';
import type { OutputFolder } from '../output-folder.js';
import type { ExportTarget } from '../target.js';
import { modelFile } from './model-file.js';
import { modelGraph } from './model-graph.js';
import type { OnnxConfig } from './onnx-config.js';

const MODEL_FILE = 'model.onnx';
const WEIGHTS_FILE = 'model.onnx_data';

export const onnx: ExportTarget = {
  description: 'one graph for ONNX Runtime and transformers.js, with the tokenizer',
  async write(checkpoint, output) {
    const { tokenizerFile } = checkpoint;
    const { config } = checkpoint.manifest;
    const written = await writeGraph(checkpoint, output, 'onnx');
    const { endOfText, endOfTextName } = loadTokenizer(tokenizerFile, config.data.endOfText);
    const tokenIds = specialTokenIds(endOfText);
    await output.write('config.json', json({ ...written.config, ...callerConfig(written), ...tokenIds }));
    await output.write('generation_config.json', json(tokenIds));
    await writeTokenizer(output, tokenizerFile, endOfTextName, config);
  },
};

/** A graph that was written. */
interface WrittenGraph {
  readonly architecture: Architecture;
  readonly config: OnnxConfig;
  readonly numParameters: number;
  /** Whether the weights are in the graph's own file. */
  readonly isInOneFile: boolean;
}

/**
 * Returns the fields of config.json with which transformers.js calls the graph. They say only how to call a
 * model type, not what its layers are.
 */
function callerConfig({ architecture, isInOneFile }: WrittenGraph) {
  const { numHeads, numKeyValueHeads, headDim } = attentions(architecture)[0]!;
  return {
    // The type stands for any decoder with a cache.
    model_type: 'llama',
    architectures: ['LlamaForCausalLM'],
    hidden_size: architecture.dModel,
    num_attention_heads: numHeads,
    num_key_value_heads: numKeyValueHeads,
    head_dim: headDim,
    num_hidden_layers: numCachedLayers(architecture),
    vocab_size: architecture.vocabSize,
    // Without this, transformers.js looks for 8-bit weights in a browser.
    'transformers.js_config': { dtype: 'fp32', use_external_data_format: !isInOneFile },
  };
}

/**
 * Writes the graph.
 *
 * @param inOneFile whether to refuse a model whose weights do not fit into the graph's own file
 * @throws TrainerError `BAD_INPUT`, also as `exportedArchitecture`
 */
export async function writeGraph(
  checkpoint: Checkpoint,
  output: OutputFolder,
  folder: string,
  inOneFile = false,
): Promise<WrittenGraph> {
  const { manifest, read, tokenizerFile } = withExpertTables(checkpoint);
  const { model, moe, data } = manifest.config;
  const architecture = exportedArchitecture(manifest.config);
  const graph = modelGraph(architecture, read);
  const { model: file, weights } = modelFile(graph, WEIGHTS_FILE);
  const numParameters = graph.initializers
    .filter(({ name }) => name in manifest.tensors)
    .reduce((sum, { data }) => sum + data.length, 0);
  if (inOneFile && weights.length > 0)
    throw new TrainerError(
      'BAD_INPUT',
      `a model of ${(numParameters / 1e6).toFixed(0)} million parameters is too large for a browser; export it --to onnx`,
    );
  await output.write(`${folder}/${MODEL_FILE}`, file);
  if (weights.length > 0) await output.write(`${folder}/${WEIGHTS_FILE}`, ...weights);
  const config: OnnxConfig = {
    domains: data.domains,
    seqLen: model.seqLen,
    vocabSize: model.vocabSize,
    endOfText: loadTokenizer(tokenizerFile, data.endOfText).endOfText,
    router: path.basename(moe.router).split('#')[0]!,
    numExperts: moe.numExperts,
    expertsOfDomain: architecture.expertsOfDomain,
    sparseLayers: Array.from({ length: model.numSparseLayers }, (_, i) => model.numDenseLayers + i),
  };
  return { architecture, config, numParameters, isInOneFile: weights.length === 0 };
}
