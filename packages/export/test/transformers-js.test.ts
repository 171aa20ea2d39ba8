import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { AutoModelForCausalLM, AutoTokenizer, env, pipeline, Tensor } from '@huggingface/transformers';
import { openCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { generateText } from 'locmoe/internal/inference/generate';
import { type Inference, openInference } from 'locmoe/internal/inference/inference';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { exportedArchitecture } from '../src/exported-architecture.js';
import { modelFile } from '../src/onnx/model-file.js';
import { modelGraph } from '../src/onnx/model-graph.js';
import { onnx } from '../src/onnx/onnx.js';
import { writeFolder } from '../src/output-folder.js';
import { writeSubModel } from '../src/sub-model.js';
import { ownLogits, sequences, trainedCheckpoint, trainedModel } from './trained.js';

const root = mkdtempSync(path.join(tmpdir(), 'locmoe-transformers-js-'));
const folder = path.join(root, 'export');
afterAll(() => rmSync(root, { recursive: true, force: true }));
env.allowRemoteModels = false;

let inference: Inference;
beforeAll(async () => {
  const checkpoint = trainedCheckpoint(mkdtempSync(path.join(root, 'model-')), 'locmoe-plus');
  await writeFolder(folder, (output) => onnx.write(checkpoint, output, 'float32'));
  inference = openInference(checkpoint);
});

/** Token ids or domains, as transformers.js takes them. */
function integers(values: Iterable<number>, shape: number[]): Tensor {
  return new Tensor('int64', BigInt64Array.from(Array.from(values), BigInt), shape);
}

function greatestDifference(tensor: Tensor, own: readonly Float32Array[]): number {
  const values = own.flatMap((row) => [...row]);
  const given = tensor.data as Float32Array;
  expect(given).toHaveLength(values.length);
  return values.reduce((most, value, i) => Math.max(most, Math.abs(value - given[i]!)), 0);
}

/**
 * Greatest gap between the logit of a generated token and that of the likeliest one; small if two tokens are equally
 * likely.
 */
function shortOfLikeliest(ids: readonly number[], numPrompt: number, domain: number): number {
  return ids.slice(numPrompt).reduce((most, id, i) => {
    const logits = inference.model.logits(Int32Array.from(ids.slice(0, numPrompt + i)), domain);
    return Math.max(most, Math.max(...logits) - logits[id]!);
  }, 0);
}

/** Greatest difference between our logits and those of the model in `place`, over a sequence of each domain. */
async function compare(place: string): Promise<number> {
  const model = await AutoModelForCausalLM.from_pretrained(place);
  const idsBS = sequences(inference);
  const shape = [idsBS.length, idsBS[0]!.length];
  const input_ids = integers(
    idsBS.flatMap((ids) => [...ids]),
    shape,
  );
  const { logits } = await model({
    input_ids,
    attention_mask: integers(new Int32Array(input_ids.size).fill(1), shape),
    domain: integers(idsBS.keys(), [idsBS.length]),
  });
  await model.dispose();
  return greatestDifference(
    logits,
    idsBS.flatMap((ids, domain) => ownLogits(inference, ids, domain)),
  );
}

it('gives the same logits in a class that it picks by config.json', async () => {
  expect(await compare(folder)).toBeLessThan(1e-4);
});

it('finds weights in a file of their own', async () => {
  const { config, checkpoint } = inference;
  const large = path.join(root, 'large');
  cpSync(folder, large, { recursive: true });
  const graph = modelGraph(exportedArchitecture(config), (name, shape) => checkpoint.read(name, shape));
  const { model, weights } = modelFile(graph, 'model.onnx_data', 1000);
  writeFileSync(path.join(large, 'onnx/model.onnx'), model);
  writeFileSync(path.join(large, 'onnx/model.onnx_data'), Buffer.concat(weights));
  const file = path.join(large, 'config.json');
  const written = JSON.parse(readFileSync(file, 'utf8'));
  expect(written['transformers.js_config'].use_external_data_format).toBe(false);
  written['transformers.js_config'].use_external_data_format = true;
  writeFileSync(file, JSON.stringify(written));
  expect(await compare(large)).toBeLessThan(1e-4);
});

it('continues texts of several lengths as we do, in the domain of each', async () => {
  const tokenizer = await AutoTokenizer.from_pretrained(folder);
  const { endOfText, endOfTextName, encode } = inference.tokenizer;
  const texts = ['The layer', 'const'];
  const prompts = texts.map((text) => [endOfText, ...encode(text)]);
  const inputs = tokenizer(
    texts.map((text) => `${endOfTextName}${text}`),
    { padding: true },
  );
  const width = Math.max(...prompts.map((ids) => ids.length));
  const padding = prompts.map((ids) => new Array<number>(width - ids.length).fill(endOfText));
  expect(inputs.input_ids.tolist().map((row: bigint[]) => row.map(Number))).toEqual(
    prompts.map((ids, i) => [...padding[i]!, ...ids]),
  );
  const generator = await pipeline('text-generation', folder);
  const { model } = generator;
  model.forward_params.push('domain');
  const domain = integers([0, 1], [2]);
  const generated = await model.generate({ ...inputs, domain, max_new_tokens: 6 });
  const rows = (generated as Tensor).tolist().map((row: bigint[]) => row.map(Number)) as number[][];
  for (const [i, row] of rows.entries()) {
    const [before, ids] = [row.slice(0, padding[i]!.length), row.slice(padding[i]!.length)];
    expect([...before, ...ids.slice(0, prompts[i]!.length)]).toEqual([...padding[i]!, ...prompts[i]!]);
    expect(ids).toHaveLength(prompts[i]!.length + 6);
    expect(shortOfLikeliest(ids, prompts[i]!.length, i)).toBeLessThan(1e-4);
  }
  // The text pipeline does the same in one call.
  const answers = await generator(
    texts.map((text) => `${endOfTextName}${text}`),
    { domain, max_new_tokens: 6 } as object,
  );
  const decoded = rows.map((ids) => tokenizer.decode(ids, { skip_special_tokens: true }));
  expect(answers.map((each) => (each as { generated_text: string }[])[0]!.generated_text)).toEqual(decoded);
  await generator.dispose();
});

it('continues a text of the only domain in one call, with heads that share keys and experts by the ids before', async () => {
  const whole = trainedModel(mkdtempSync(path.join(root, 'model-')), {
    model: { family: 'llama', numHeads: 4, numKeyValueHeads: 2, headDim: 6, qkNorm: true },
    moe: { router: 'hash', numExperts: 16, expertsPerToken: 4, lookBack: 2 },
  });
  const cut = path.join(root, 'part');
  await writeFolder(cut, (output) => writeSubModel(whole, output, 'code'));
  const part = openInference(openCheckpoint(cut));
  const place = path.join(root, 'part-export');
  await writeFolder(place, (output) => onnx.write(part.checkpoint, output, 'float32'));
  const written = JSON.parse(readFileSync(path.join(place, 'config.json'), 'utf8'));
  // The cache of the last layer has the ids.
  expect(written).toMatchObject({ num_hidden_layers: 4, num_key_value_heads: 2, head_dim: 6 });
  const greedy = { topP: 1, repetitionPenalty: 1, stop: [], temperature: 0, topK: 1, seed: 1 };
  const own = generateText(part, { ...greedy, prompt: 'const', domain: 0, maxTokens: 8 });
  const generator = await pipeline('text-generation', place);
  const answers = await generator(`${part.tokenizer.endOfTextName}const`, { max_new_tokens: 8 });
  expect(answers).toEqual([{ generated_text: `const${own}` }]);
  await generator.dispose();
});
