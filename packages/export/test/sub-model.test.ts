import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ServedModels } from 'locmoe/internal/api/served-models';
import { type Checkpoint, openCheckpoint, resolveCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { openStored } from 'locmoe/internal/checkpoint/open-stored';
import { soloTransport } from 'locmoe/internal/collectives/solo-transport';
import { generateText } from 'locmoe/internal/inference/generate';
import { type Inference, openInference } from 'locmoe/internal/inference/inference';
import { createTrainState, loadModel } from 'locmoe/internal/worker/state';
import { trainStep } from 'locmoe/internal/worker/train-step';
import { InferenceSession } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NIGHTLY } from '../../../test/nightly.js';
import { onnx } from '../src/onnx/onnx.js';
import { writeFolder } from '../src/output-folder.js';
import { sizeOfSubModel, writeSubModel } from '../src/sub-model.js';
import { ownLogits, ownRouting, sequences, trainedCheckpoint } from './trained.js';
import { wholeSequences } from './whole-sequences.js';

/** By day routers that choose by table, independently, and within device groups. */
const ROUTERS: readonly string[] = [
  'hash',
  'locmoe-plus',
  'moge',
  ...(NIGHTLY ? ['switch', 'expert-choice', 'locmoe with learned groups', 'deepseek'] : []),
];
/** The second of two domains, so that its experts are not the first ones. */
const DOMAIN = 'code';
const DOMAIN_ID = 1;

interface Cut {
  readonly whole: Inference;
  readonly part: Inference;
}

const root = mkdtempSync(path.join(tmpdir(), 'locmoe-sub-model-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function cut(checkpoint: Checkpoint, output: string): Promise<Checkpoint> {
  await writeFolder(output, (files) => writeSubModel(checkpoint, files, DOMAIN));
  return openCheckpoint(output);
}

const cuts = new Map<string, Cut>();
beforeAll(async () => {
  for (const router of ROUTERS) {
    const whole = trainedCheckpoint(mkdtempSync(path.join(root, 'model-')), router);
    const part = await cut(whole, path.join(root, `part ${router}`));
    cuts.set(router, { whole: openInference(whole), part: openInference(part) });
  }
});

/** Ids of the second half of the experts, which the sub-model holds. */
function heldOf({ config: { moe } }: Inference): number[] {
  return [...Array(moe.numExperts).keys()].slice(moe.numExperts / 2);
}

const bits = (rows: readonly Float32Array[]) => rows.map((row) => Buffer.from(row.buffer).toString('hex'));

describe.each(ROUTERS)('the sub-model of a domain, with router %s', (router) => {
  it('gives the logits of the whole model, to the bit, and the text', () => {
    const { whole, part } = cuts.get(router)!;
    const ids = sequences(whole)[DOMAIN_ID]!;
    expect(bits(ownLogits(part, ids, 0))).toEqual(bits(ownLogits(whole, ids, DOMAIN_ID)));
    expect(ownRouting(part, ids, 0)).toEqual(ownRouting(whole, ids, DOMAIN_ID));
    const options = { topP: 1, topK: 1, temperature: 0, repetitionPenalty: 1, stop: [], seed: 1 };
    const textOf = (inference: Inference, domain: number) =>
      generateText(inference, { ...options, prompt: 'const ', maxTokens: 30, domain });
    expect(textOf(part, 0)).toBe(textOf(whole, DOMAIN_ID));
  });

  it('has the experts of that domain alone, and no moments', () => {
    const { whole, part } = cuts.get(router)!;
    const held = heldOf(part);
    const isWanted = (name: string) =>
      !name.startsWith('adam.') && held.includes(Number(/\.experts\.(\d+)\./.exec(name)?.[1] ?? held[0]));
    const wanted = Object.keys(whole.checkpoint.manifest.tensors).filter(isWanted);
    expect(Object.keys(part.checkpoint.manifest.tensors).sort()).toEqual(wanted.sort());
    const specs = part.model.parameterSpecs.map(({ name }) => name);
    // Two matrices of an expert in each of two layers.
    expect(specs.filter((name) => name.includes('.experts.'))).toHaveLength(4 * held.length);
    openStored(part.checkpoint.folder).verify();
  });

  it('is exported like any model', async () => {
    const { part } = cuts.get(router)!;
    const output = path.join(root, `onnx ${router}`);
    await writeFolder(output, (files) => onnx.write(part.checkpoint, files, 'float32'));
    const session = await InferenceSession.create(path.join(output, 'onnx/model.onnx'));
    const ids = sequences(part)[DOMAIN_ID]!;
    expect(session.inputNames).not.toContain('domain');
    const outputs = await session.run(wholeSequences(session, ids, [0]));
    const logits = outputs.logits!.data as Float32Array;
    const own = ownLogits(part, ids, 0).flatMap((row) => [...row]);
    expect(Math.max(...own.map((value, i) => Math.abs(value - logits[i]!)))).toBeLessThan(1e-4);
    await session.release();
    const config = JSON.parse(readFileSync(path.join(output, 'config.json'), 'utf8'));
    expect(config).toMatchObject({ domains: [DOMAIN], expertsOfDomain: [heldOf(part)] });
  });
});

it('can be trained on, with the capacity of its own experts', () => {
  const { part } = cuts.get('hash')!;
  const { config, checkpoint } = part;
  const state = createTrainState({ ...config, seed: 9 }, soloTransport(), null);
  loadModel(state.model, checkpoint);
  const ids = sequences(part)[DOMAIN_ID]!;
  const batch = { numSequences: 1, seqLen: ids.length - 1, domains: Int32Array.of(0) };
  const tokens = { tokenIds: ids.slice(0, -1), targets: ids.slice(1) };
  const losses = [1, 2, 3, 4].map(
    (step) => trainStep(state, { step, batches: [{ ...batch, ...tokens }] }).report,
  );
  expect(losses.at(-1)!.loss).toBeLessThan(losses[0]!.loss);
  // 0.8 x 23 tokens over the two experts of the group.
  expect(losses[0]!.layers[0]!.measures.capacity!.counts).toEqual(Array(4).fill(10));
  state.model.dispose();
});

it('says how much of the model it is', () => {
  const { whole, part } = cuts.get('hash')!;
  const specs = (inference: Inference) =>
    inference.model.parameterSpecs.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const [count, all] = [part, whole].map((each) => specs(each).toLocaleString('en'));
  expect(sizeOfSubModel(whole.config, DOMAIN)).toMatch(
    new RegExp(
      `^domain code: 2 of 4 experts in each sparse layer, ${count} of ${all} parameters \\(\\d\\d %\\)$`,
    ),
  );
});

it('is served for its domain alone', () => {
  const { part } = cuts.get('hash')!;
  const models = new ServedModels(part.checkpoint, 0, []);
  expect(models.names).toEqual(['export']);
  expect(models.domainOf('export', null)).toBe(0);
  expect(() => models.domainOf('export', 'prose')).toThrow('prose: the model knows code');
});

describe('there is none', () => {
  const refusal = (variant: string, domain: string, message: RegExp) => async () => {
    const checkpoint =
      cuts.get(variant)?.part.checkpoint ?? trainedCheckpoint(mkdtempSync(path.join(root, 'm-')), variant);
    const output = path.join(root, 'refused');
    await expect(writeFolder(output, (files) => writeSubModel(checkpoint, files, domain))).rejects.toThrow(
      message,
    );
    expect(existsSync(output)).toBe(false);
  };
  it('of another domain', refusal('hash', 'prose', /^--sub-model --domain prose: the model knows code$/));
  it('of a sub-model', refusal('hash', 'code', /the model is the sub-model of code already$/));
  it(
    'of a model whose domains use all experts',
    refusal('locmoe-plus with one learned group, without query layer', 'code', /moe\.expertGroups is 1/),
  );
  it('of a dense model', refusal('a dense model', 'code', /the model is dense/));
});

it('is found by the name of its folder', () => {
  const { folder } = cuts.get('hash')!.part.checkpoint;
  expect(resolveCheckpoint(folder, expect.unreachable).manifest.config.data.domains).toEqual([DOMAIN]);
});
