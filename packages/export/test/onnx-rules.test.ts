import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Architecture, Parameter } from 'locmoe/internal/architecture/architecture';
import type { Rule, Scores } from 'locmoe/internal/architecture/rule';
import { runSchema } from 'locmoe/internal/config/schema';
import { CounterRandom } from 'locmoe/internal/parameters/counter-random';
import { ownRouterName, trustRouter } from 'locmoe/internal/routing/own/router-file';
import { InferenceSession } from 'onnxruntime-node';
import { afterAll, expect, it } from 'vitest';
import { reference } from '../../../test/architecture/reference.js';
import { exportedArchitecture } from '../src/exported-architecture.js';
import { modelFile } from '../src/onnx/model-file.js';
import { modelGraph } from '../src/onnx/model-graph.js';
import { wholeSequences } from './whole-sequences.js';

// Rules that no router of ours states, with random parameters. Shapes: d hidden size, E experts, V vocabulary.

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-rules-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const [d, E, V, SEQ_LEN] = [16, 8, 300, 12];
const DOMAINS = ['one', 'two'];

function architectureWith(moe: object, domains: readonly string[] = DOMAINS): Architecture {
  const config = runSchema.parse({
    name: 'rules',
    model: {
      dModel: d,
      numHeads: 2,
      numDenseLayers: 0,
      numSparseLayers: 1,
      dFeedForward: 16,
      vocabSize: V,
      seqLen: SEQ_LEN,
    },
    moe: { numExperts: E, expertGroups: 2, router: 'switch', ...moe },
    data: { domains },
    train: { steps: 1, globalBatch: 1, learningRate: 0.01, warmupSteps: 0 },
  });
  return exportedArchitecture(config);
}

function withRule(rule: Rule<Parameter>): Architecture {
  const architecture = architectureWith({});
  const blocks = architecture.blocks.map((block) =>
    block.operation.op === 'experts' ? { ...block, operation: { ...block.operation, rule } } : block,
  );
  return { ...architecture, blocks };
}

/** Compares logits and weights of the graph with the reference, for a sequence of each domain. */
async function compare(architecture: Architecture): Promise<void> {
  const values = new Map<string, Float32Array>();
  const read = (name: string, shape: readonly number[]) => {
    const known = values.get(name);
    if (known !== undefined) return known;
    const random = new Float32Array(shape.reduce((a, b) => a * b));
    new CounterRandom(3, name).fillNormal(random, 0.6);
    values.set(name, random);
    return random;
  };
  const { model } = modelFile(modelGraph(architecture, read), '');
  const session = await InferenceSession.create(model);
  const domains = architecture.expertsOfDomain.map((_, domain) => domain);
  const idsBS = domains.map((domain) =>
    Array.from({ length: SEQ_LEN }, (_, i) => (i * 37 + 3 * domain + 1) % V),
  );
  const outputs = await session.run(wholeSequences(session, idsBS.flat(), domains));
  await session.release();
  const own = domains.map((domain) =>
    reference(architecture, ({ name, shape }) => read(name, shape), idsBS[domain]!, domain),
  );
  const rowMajor = (rows: readonly Float64Array[]) => rows.flatMap((row) => [...row]);
  const logits = own.flatMap((each) => rowMajor(each.logits));
  const weights = own.flatMap((each) => rowMajor(each.weights[0]!));
  expect(greatestDifference(outputs['layers.0.weights']!.data as Float32Array, weights)).toBeLessThan(1e-4);
  expect(greatestDifference(outputs.logits!.data as Float32Array, logits)).toBeLessThan(1e-4);
}

function greatestDifference(a: ArrayLike<number>, b: readonly number[]): number {
  expect(a).toHaveLength(b.length);
  return b.reduce((most, value, i) => Math.max(most, Math.abs(value - a[i]!)), 0);
}

type S = Scores<Parameter>;
const parameter = (name: string, ...shape: readonly number[]): Parameter => ({ name, shape });
const linear: S = { op: 'linear', weight: parameter('weight', d, E) };
const cosine: S = { op: 'cosine', weight: parameter('weight', d, E) };
const bias: S = { op: 'parameter', parameter: parameter('bias', E, 1) };
const one: S = { op: 'parameter', parameter: parameter('one', 1) };
const ofId: S = { op: 'ofId', table: parameter('table', V * E) };
const softmax = (of: S): S => ({ op: 'softmax', of });
const add = (left: S, right: S): S => ({ op: 'add', left, right });
const number = (value: number): S => ({ op: 'number', value });
const threshold = parameter('threshold', E);
const top = (by: S, count: number) => ({ op: 'top', by, count, limit: null }) as const;
const by = (scores: S, share = false) => ({ by: scores, share });

const RULES: Readonly<Record<string, Omit<Rule<Parameter>, 'affinities'>>> = {
  'cosine and exp, with shares': {
    choose: top(cosine, 2),
    keep: null,
    weigh: by({ op: 'exp', of: cosine }, true),
  },
  'scores that pass 1e9': {
    choose: top({ op: 'exp', of: add(linear, number(24)) }, 2),
    keep: null,
    weigh: by(cosine),
  },
  'the same choice for every token': { choose: top(bias, 3), keep: null, weigh: by(softmax(bias)) },
  'equal shares, more places than experts': { choose: top(ofId, 20), keep: null, weigh: by(number(2), true) },
  'a softmax of one number': { choose: top(linear, 1), keep: null, weigh: by(softmax(one)) },
  'a threshold of other scores': {
    choose: { op: 'topP', by: softmax(linear), count: 20, sum: 0.8 },
    keep: { scores: add(bias, ofId), threshold },
    weigh: by({ op: 'tanh', of: { op: 'relu', of: linear } }),
  },
  'the best of each group': {
    choose: { op: 'topOfGroups', by: linear, count: 2, groups: 2 },
    keep: { scores: bias, threshold },
    weigh: by({ op: 'divide', left: { op: 'sigmoid', of: linear }, right: number(2) }, true),
  },
  'limited groups': {
    choose: { op: 'top', by: linear, count: 2, limit: { groups: 2, open: 1 } },
    keep: null,
    weigh: by({ op: 'subtract', left: softmax(linear), right: one }),
  },
  'groups of coordinates': {
    choose: top({ op: 'grouped', factors: null }, 2),
    keep: null,
    weigh: by({
      op: 'multiply',
      left: { op: 'groupedCosine', factors: parameter('factors', d) },
      right: one,
    }),
  },
};

it.each(Object.entries(RULES))('the graph decides by a rule: %s', async (_, rule) => {
  await compare(withRule({ ...rule, affinities: rule.weigh.by }));
});

it('a part of scores that a rule has several times is computed once', () => {
  const probabilities = softmax(add(linear, ofId));
  const rule = {
    choose: top(probabilities, 2),
    keep: null,
    weigh: by(probabilities),
    affinities: probabilities,
  };
  const { nodes } = modelGraph(withRule(rule), (_, shape) => new Float32Array(shape.reduce((a, b) => a * b)));
  expect(nodes.filter(({ name, operator }) => /router/.test(name) && operator === 'Softmax')).toHaveLength(1);
});

it('a router from a file is exported by its rule', async () => {
  const file = path.join(folder, 'mine.mjs');
  writeFileSync(
    file,
    `const gate = { op: 'linear', weight: 'gate' };
    export default {
      fields: {},
      parameters: ({ numExperts }, d) => [{ name: 'gate', shape: [d, numExperts] }],
      rule: () => ({
        choose: { op: 'top', by: gate, count: 2, limit: null },
        keep: { scores: gate, threshold: 'least' },
        weigh: { by: { op: 'sigmoid', of: gate }, share: true },
        affinities: gate,
      }),
      price: () => ({}),
      create: () => ({}),
    };`,
  );
  const router = ownRouterName(file, folder)!;
  trustRouter(router);
  await compare(architectureWith({ router }));
});

it('the graph of one domain has no input for it, with all experts or a part of them', async () => {
  for (const expertGroups of [1, 2]) await compare(architectureWith({ expertGroups }, ['one']));
});
