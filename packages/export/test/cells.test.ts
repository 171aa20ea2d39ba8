import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { choiceCosts } from '@locmoe/bench/internal/plan/routing-model';
import { serveApi } from 'locmoe/internal/api/serve-api';
import { generateText } from 'locmoe/internal/inference/generate';
import { type Inference, openInference } from 'locmoe/internal/inference/inference';
import type { LossOptions } from 'locmoe/internal/model/language-model';
import { modelWork } from 'locmoe/internal/model/work';
import { tf } from 'locmoe/internal/ops/tensorflow';
import { ROUTER_NAMES } from 'locmoe/internal/routing/index';
import { ownRouterName, trustRouter } from 'locmoe/internal/routing/own/router-file';
import { InferenceSession } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pythonWith } from '../../../scripts/python-oracles.mjs';
import { skipLoudly } from '../../../test/debian-tool.js';
import { huggingface } from '../src/huggingface/huggingface.js';
import { onnx } from '../src/onnx/onnx.js';
import { writeFolder } from '../src/output-folder.js';
import { web } from '../src/web/web.js';
import { runPython } from './python.js';
import { ownLogits, sequences, trainedModel } from './trained.js';
import { wholeSequences } from './whole-sequences.js';

// Every router, and one of a file, in every family goes through every door. Settings that change a rule are tried by the tests
// of each door.

/** The rule of examples/my-router.mjs, written out, as sources cannot be imported from a file. */
const OWN = 'cosine.mjs';
const OWN_ROUTER = `
const gate = { op: 'cosine', weight: 'gate' };
const sharpened = { op: 'multiply', left: gate, right: { op: 'parameter', parameter: 'temperature' } };
export default {
  fields: {},
  rules: [],
  parameters: ({ numExperts: E }, d) => [
    { name: 'gate', shape: [d, E] },
    { name: 'temperature', shape: [1], init: { kind: 'constant', value: 8 } },
  ],
  rule: () => ({ choose: { op: 'top', by: { op: 'softmax', of: sharpened }, count: 2, limit: null } }),
};`;
const FAMILIES = [{}, { family: 'llama', numKeyValueHeads: 1 }];
/** Tables that look at the ids before. */
const LOOKING_BACK = 'hash that looks back';
const CELLS = [...ROUTER_NAMES, LOOKING_BACK, OWN].flatMap((router) =>
  FAMILIES.map((model) => ({ router, model })),
);

/** Experts among which a token chooses, or that it takes; 1 for all others. */
const NUM_CHOICES: Readonly<Record<string, number>> = {
  moge: 2,
  'expert-choice': 2,
  'locmoe-plus': 2,
  [LOOKING_BACK]: 4,
  [OWN]: 2,
};

const root = mkdtempSync(path.join(tmpdir(), 'locmoe-cells-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
/** Exported folders for PyTorch that hold code of ours. */
const folders: string[] = [];

describe.each(CELLS)('$router $model.family', ({ router, model }) => {
  const isHash = router.startsWith('hash');
  let inference: Inference;
  beforeAll(() => {
    let named = router;
    if (router === OWN) {
      writeFileSync(path.join(root, OWN), OWN_ROUTER);
      named = ownRouterName(path.join(root, OWN), root)!;
      trustRouter(named);
    }
    // The capacity makes routers drop, and expert choice needs it.
    const hashed = router === LOOKING_BACK && {
      router: 'hash',
      numExperts: 16,
      expertsPerToken: 4,
      lookBack: 2,
    };
    const moe = { router: named, capacityFactor: 1, ...hashed };
    inference = openInference(trainedModel(mkdtempSync(path.join(root, 'model-')), { model, moe }));
  });
  afterAll(() => inference.model.dispose());

  /** The loss of a sequence of each domain, with what each layer decided. */
  function lossWith(options: Omit<LossOptions, 'training' | 'inspect'>) {
    const ids = sequences(inference).map((each) => each.subarray(0, 16));
    const tokenIds = Int32Array.from(ids.flatMap((each) => [...each]));
    let numKept = 0;
    const scored: boolean[] = [];
    const loss = tf.tidy(() => {
      const batch = { numSequences: ids.length, seqLen: 16, tokenIds, domains: Int32Array.from(ids.keys()) };
      const inspect: LossOptions['inspect'] = (_, __, { keptE, scores }) => {
        numKept += keptE.reduce((a, b) => a + b, 0);
        scored.push(scores !== undefined);
      };
      const output = inference.model.loss(
        { ...batch, targets: tokenIds },
        { ...options, training: false, inspect },
      );
      return output.crossEntropy.dataSync()[0]!;
    });
    return { loss, numKept, scored };
  }

  it('is trained, evaluated, recorded and ablated', () => {
    const { loss, numKept, scored } = lossWith({ wantsScores: true });
    expect(loss).toBeGreaterThan(0);
    expect(numKept).toBeGreaterThan(0);
    // A table has no scores, and no gate to ablate: `eval --ablate gate` refuses it by name.
    expect(new Set(scored)).toEqual(new Set([!isHash]));
    for (const gateControl of ['zero', 'shuffled'] as const)
      expect(lossWith({ gateControl }).loss === loss).toBe(isHash);
  });

  it('is planned', () => {
    const { config } = inference;
    const { forward } = modelWork(config, { sequences: 2, rows: 8, experts: 4 }).router;
    expect(forward.operations > 0).toBe(!isHash);
    expect(choiceCosts(config)).toMatchObject({ numChoices: NUM_CHOICES[router] ?? 1 });
  });

  it('generates, and answers over HTTP', async () => {
    const sampling = { temperature: 0, topK: null, topP: 1, repetitionPenalty: 1 };
    const asked = { prompt: 'import', domain: 1, maxTokens: 8, stop: [], seed: 1 };
    const text = generateText(inference, { ...asked, ...sampling });
    const server = await serveApi(inference, {
      host: '127.0.0.1',
      port: 0,
      token: null,
      examples: [],
      page: null,
      maxBatch: 2,
      maxWaiting: 2,
      requestTimeout: 60,
    });
    try {
      const response = await fetch(`http://127.0.0.1:${server.address.port}/v1/completions`, {
        method: 'POST',
        body: JSON.stringify({ model: 'export:code', prompt: 'import', max_tokens: 8, temperature: 0 }),
      });
      expect(await response.json()).toMatchObject({ choices: [{ text }] });
    } finally {
      await server.close(0);
    }
  });

  it('runs as ONNX, as a page and in PyTorch', async () => {
    const { checkpoint } = inference;
    const [graph, page, torch] = ['onnx', 'web', 'torch'].map((name) => mkdtempSync(path.join(root, name)));
    await writeFolder(path.join(graph!, 'out'), (files) => onnx.write(checkpoint, files, 'float32'));
    await writeFolder(path.join(page!, 'out'), (files) => web.write(checkpoint, files, 'float32'));
    const file = path.join(graph!, 'out/onnx/model.onnx');
    expect(readFileSync(path.join(page!, 'out/model/model.onnx'))).toEqual(readFileSync(file));

    const idsBS = sequences(inference);
    const logits = idsBS.map((ids, domain) => ownLogits(inference, ids, domain));
    const own = Float32Array.from(logits.flat().flatMap((row) => [...row]));
    const session = await InferenceSession.create(file);
    const flat = idsBS.flatMap((ids) => [...ids]);
    const outputs = await session.run(wholeSequences(session, flat, [...idsBS.keys()]));
    await session.release();
    const found = outputs.logits!.data as Float32Array;
    expect(found).toHaveLength(own.length);
    expect(Math.max(...found.map((value, i) => Math.abs(value - own[i]!)))).toBeLessThan(1e-4);

    const folder = path.join(torch!, 'out');
    await writeFolder(folder, (files) => huggingface.write(checkpoint, files, 'float32'));
    const { model_type } = JSON.parse(readFileSync(path.join(folder, 'config.json'), 'utf8'));
    // A top-k of one domain would be a class of transformers; these models have two.
    expect(model_type).toBe('locmoe');
    writeFileSync(path.join(folder, 'ids.json'), JSON.stringify(idsBS.map((ids) => [...ids])));
    writeFileSync(path.join(folder, 'logits'), own);
    folders.push(folder);
  });
});

it('gives the same logits in PyTorch, whatever the router and the family', ({ skip }) => {
  const python =
    pythonWith(['torch', 'safetensors']) ?? skipLoudly(skip, 'no Python with torch and safetensors');
  const program = readFileSync(new URL('oracles/locmoe_logits.py', import.meta.url), 'utf8');
  expect(folders).toHaveLength(CELLS.length);
  expect(runPython(python, program, ...folders)).toBe('good\n'.repeat(CELLS.length));
});
