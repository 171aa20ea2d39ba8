import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { loadTokenizer } from 'locmoe/internal/data/tokenizer/tokenizer';
import { TrainerError } from 'locmoe/internal/errors';
import { expertsOfDomain } from 'locmoe/internal/routing/domain-groups';
import { withExpertTables } from '../expert-table.js';
import type { OutputFolder } from '../output-folder.js';
import type { ExportTarget } from '../target.js';
import { modelFile } from './model-file.js';
import { modelGraph } from './model-graph.js';
import type { OnnxConfig } from './onnx-config.js';

const MODEL_FILE = 'model.onnx';
const WEIGHTS_FILE = 'model.onnx.data';

export const onnx: ExportTarget = {
  description: 'one graph for ONNX Runtime, with the tokenizer',
  async write(checkpoint, output) {
    await writeOnnx(checkpoint, output);
    await output.write('config.json', `${JSON.stringify(onnxConfig(checkpoint), null, 1)}\n`);
  },
};

/**
 * Writes the graph and the tokenizer.
 *
 * @param prefix of the files' names
 * @param hasCache as of `modelGraph`
 * @param inOneFile refuses a model whose weights do not fit into the graph's own file
 * @returns the number of parameters
 * @throws TrainerError `BAD_INPUT`
 */
export async function writeOnnx(
  checkpoint: Checkpoint,
  output: OutputFolder,
  { prefix = '', hasCache = false, inOneFile = false } = {},
): Promise<number> {
  const { manifest, read } = withExpertTables(checkpoint);
  const graph = modelGraph(manifest.config, read, hasCache);
  const { model, weights } = modelFile(graph, WEIGHTS_FILE);
  const sizes = graph.initializers.map(({ data }) => (data instanceof Float32Array ? data.length : 0));
  const numParameters = sizes.reduce((sum, size) => sum + size, 0);
  if (inOneFile && weights.length > 0)
    throw new TrainerError(
      'BAD_INPUT',
      `a model of ${(numParameters / 1e6).toFixed(0)} million parameters is too large for a browser; export it --to onnx`,
    );
  await output.write(`${prefix}${MODEL_FILE}`, model);
  if (weights.length > 0) await output.write(`${prefix}${WEIGHTS_FILE}`, ...weights);
  await output.copy(checkpoint.tokenizerFile, `${prefix}tokenizer.json`);
  return numParameters;
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
