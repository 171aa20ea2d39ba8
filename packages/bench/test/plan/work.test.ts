import * as tf from '@tensorflow/tfjs-node';
import { soloTransport } from 'locmoe/internal/collectives/solo-transport';
import { hasQueryLayer, headsOf } from 'locmoe/internal/config/model-schema';
import type { RunConfig } from 'locmoe/internal/config/schema';
import type { Batch } from 'locmoe/internal/data/batch';
import { LanguageModel } from 'locmoe/internal/model/language-model';
import { parameterCounts } from 'locmoe/internal/model/parameter-counts';
import type { Work } from 'locmoe/internal/model/pass-work';
import { modelWork, totalWork } from 'locmoe/internal/model/work';
import { kernels, wrapKernels } from 'locmoe/internal/ops/kernels/choose-kernels';
import type { FusedForward } from 'locmoe/internal/ops/kernels/kernels';
import { type NodeBinding, nodeBackend } from 'locmoe/internal/ops/node-backend';
import { ROUTER_NAMES } from 'locmoe/internal/routing/index';
import { describe, expect, it } from 'vitest';
import { configOf } from './support.js';

describe('modelWork', () => {
  it('counts the products of a tiny model as a hand does', () => {
    const config = configOf();
    const [T, S, d, F, V, R] = [512, 16, 32, 64, 512, 500];
    const { forward, backward } = totalWork(modelWork(config, { sequences: 32, rows: R, experts: 8 }));
    // A matrix product takes 2 FLOP (multiply, add) x rows x inner x columns.
    const attention = 2 * (T * d * 3 * d + T * S * d + T * S * d + T * d * d);
    const feedForward = (rows: number) => 2 * (rows * d * F + rows * F * d);
    const query = 2 * (S * d * d + T * d * 2 * d + 2 * T * S * d + T * d * d);
    const expected =
      3 * attention + feedForward(T) + 2 * feedForward(R) + query + feedForward(T) + 2 * T * d * V;
    expect(forward.flops).toBe(expected);
    // The backward recomputes the scores of each attention.
    expect(backward.flops).toBe(2 * expected + 4 * 2 * T * S * d);
  });

  it('leaves out scores that the mask hides from a whole block of queries', () => {
    const [S, d] = [192, 32];
    const config = configOf([`model.seqLen=${S}`, 'model.numSparseLayers=1']);
    const { forward } = modelWork(config, { sequences: 1, rows: 8, experts: 8 })['sparse attention'];
    // The first half of the queries attends to half of the keys.
    expect(forward.flops).toBe(2 * S * 4 * d * d + 2 * 2 * 96 * (96 + 192) * d);
  });

  it.each([
    ...ROUTER_NAMES.map((router) => ({ router, sets: [] })),
    { router: 'expert-choice', sets: ['moe.expertGroups=2', 'moe.candidatesPerToken=2'] },
    { router: 'locmoe', sets: ['moe.learnedGroups=true'] },
    { router: 'locmoe-plus', sets: ['moe.learnedGroups=true', 'moe.selection=tcr'] },
    { router: 'locmoe-plus', sets: ['moe.choiceWeights=margin', 'moe.capacityFactor=1'] },
    ...['deepseek', 'locmoe', 'switch'].flatMap((router) => [
      { router, sets: ['moe.expertsPerToken=2'] },
      { router, sets: ['moe.tokenPreference=1'] },
    ]),
    ...ROUTER_NAMES.map((router) => ({ router, sets: ['moe.numExperts=16'] })),
    { router: 'hash', sets: ['moe.dFeedForward=32', 'moe.sharedExperts=2'] },
  ])('agrees with what TensorFlow is called for: $router $sets', async ({ router, sets }) => {
    const small = ['model.dModel=64', 'model.dFeedForward=128'];
    const config = configOf([...routed(router), ...small, ...sets]);
    const { forward, backward, rows } = await countedPass(config);
    const load = { sequences: 32, rows, experts: config.moe.numExperts };
    const work = totalWork(modelWork(config, load));
    for (const [predicted, counted] of [
      [work.forward, forward],
      [work.backward, backward],
    ]) {
      // LocMoE+ keeps a different number of rows in each layer; their mean is exact for products. Attention is compiled
      // and not counted.
      const attention = (predicted === work.forward ? 2 : 5) * productsOfScores(config);
      expect(predicted.flops / (counted.flops + attention)).toBeCloseTo(1, 6);
      expect(predicted.touched / counted.touched).toBeGreaterThan(1);
      // Copies into and out of the exchanges are not kernels.
      expect(predicted.touched / counted.touched).toBeLessThan(1.1);
      expect(predicted.operations / counted.operations).toBeGreaterThan(0.93);
      expect(predicted.operations / counted.operations).toBeLessThan(1.1);
    }
  });

  it.each(['deepseek', 'locmoe', 'switch'])(
    'counts the operations of %s itself within a quarter',
    async (router) => {
      const [gated, table] = [configOf(routed(router)), configOf()];
      const { router: predicted } = modelWork(gated, { sequences: 32, rows: 512, experts: 8 });
      const [counted, others] = [await countedPass(gated), await countedPass(table)];
      for (const direction of ['forward', 'backward'] as const) {
        const own = counted[direction].operations - others[direction].operations;
        expect(predicted[direction].operations / own).toBeGreaterThan(0.75);
        expect(predicted[direction].operations / own).toBeLessThan(1.25);
      }
    },
  );
});

// Norms and rotations of this family are loops on the host, not kernels.
it('of the family mixtral counts every product', async () => {
  const config = configOf([
    'model.family=llama',
    'model.numKeyValueHeads=1',
    'model.headDim=6',
    'moe.sharedExperts=1',
    'moe.sharedExpertGate=true',
  ]);
  const { forward, backward, rows } = await countedPass(config);
  const work = totalWork(modelWork(config, { sequences: 32, rows, experts: 8 }));
  const attention = productsOfScores(config);
  expect(work.forward.flops / (forward.flops + 2 * attention)).toBeCloseTo(1, 6);
  expect(work.backward.flops / (backward.flops + 5 * attention)).toBeCloseTo(1, 6);
});

describe('parameterCounts', () => {
  it.each(ROUTER_NAMES)('counts what a model of %s holds', (router) => {
    for (const sets of [
      [],
      ['model.queryLayer=false'],
      ['moe.learnedGroups=true'],
      ['moe.dFeedForward=48', 'moe.sharedExperts=3'],
      ['model.family=llama', 'model.numKeyValueHeads=1', 'moe.sharedExperts=3'],
      [
        'model.family=llama',
        'model.tiedEmbedding=true',
        'model.attentionBias=true',
        'model.qkNorm=true',
        'model.headDim=6',
      ],
    ]) {
      const config = configOf([...routed(router), ...sets]);
      const model = new LanguageModel(config, soloTransport());
      const { shared, expertsOfRank, model: whole } = parameterCounts(config);
      expect(shared).toBe(model.parameters.shared.values.length);
      expect(expertsOfRank).toBe(model.parameters.expert.values.length);
      expect(whole).toBe(shared + expertsOfRank);
      model.dispose();
    }
  });

  it('spreads experts over ranks, and copies them where there are fewer', () => {
    const ofExperts = (nodes: number, workers: number) =>
      parameterCounts(configOf([], nodes, workers)).expertsOfRank / (2 * 2 * 32 * 64);
    expect([ofExperts(1, 1), ofExperts(2, 2), ofExperts(4, 2), ofExperts(8, 2)]).toEqual([8, 2, 1, 1]);
  });
});

/** Settings of a router; expert choice needs a capacity. */
function routed(router: string): string[] {
  return [`moe.router=${router}`, ...(router === 'expert-choice' ? ['moe.capacityFactor=2'] : [])];
}

/** FLOP of the query-key products of all heads, sequences and layers. */
function productsOfScores({ model, train }: RunConfig): number {
  const numLayers = model.numDenseLayers + model.numSparseLayers + (hasQueryLayer(model) ? 1 : 0);
  const { numHeads, headDim } = headsOf(model);
  return 2 * train.globalBatch * model.seqLen ** 2 * numHeads * headDim * numLayers;
}

interface Counted {
  readonly forward: Work;
  readonly backward: Work;
  /** Kept choices, mean over layers. */
  readonly rows: number;
}

/** Counts the kernels that TensorFlow runs in a forward and a backward pass, what the tape reads or keeps, and loops on the host. */
async function countedPass(config: RunConfig): Promise<Counted> {
  const model = new LanguageModel(config, soloTransport());
  const batch = batchOf(config);
  let rows = 0;
  const lossOf = () => {
    const { crossEntropy, auxiliaryLoss, layers } = model.loss(batch, { training: true });
    const keptOf = ({ measures }: (typeof layers)[number]) => measures.kept as Int32Array;
    rows = layers.reduce((sum, layer) => sum + keptOf(layer).reduce((a, b) => a + b), 0) / layers.length;
    return tf.add(crossEntropy, auxiliaryLoss) as tf.Scalar;
  };
  // Compiled parts are recorded on first use, so only the second pass counts.
  model.parameters.computeGradients(lossOf);

  let forwardKernels = 0;
  const unlisted: { readonly forward: Work[]; readonly backward: Work[] } = { forward: [], backward: [] };
  let direction: keyof typeof unlisted = 'forward';
  const stop = onUnlisted((work) => unlisted[direction].push(work));
  const { kernels: profiled } = await tf.profile(() => {
    model.parameters.computeGradients(() => {
      const loss = lossOf();
      forwardKernels = activeKernels() - 1;
      direction = 'backward';
      return loss;
    });
    return tf.scalar(0);
  });
  stop();
  model.dispose();
  expect(unlisted.forward.length).toBeGreaterThan(0);
  expect(unlisted.backward.length).toBeGreaterThan(50);
  expect(forwardKernels).toBeGreaterThan(50);
  // Functions with custom gradients are listed besides the kernels that they call.
  const works = profiled.map((kernel) => (kernel.name === 'forward' ? null : workOf(kernel)));
  return {
    forward: sum([...works.slice(0, forwardKernels), ...unlisted.forward]),
    backward: sum([...works.slice(forwardKernels), ...unlisted.backward]),
    rows,
  };
}

/** Tells the work of a loop on the host, which reads about as much as it writes, in both directions. */
function told<Inputs extends readonly unknown[]>(
  operation: (...inputs: Inputs) => FusedForward,
  tell: (work: Work) => void,
): (...inputs: Inputs) => FusedForward {
  const tellOf = (results: readonly (tf.Tensor | undefined)[]) =>
    tell({ flops: 0, touched: results.reduce((all, each) => all + 2 * each!.size, 0), operations: 1 });
  return (...inputs) => {
    const { value, saved, backward } = operation(...inputs);
    tellOf([value]);
    return {
      value,
      saved,
      backward: (...given) => {
        const gradients = backward(...given);
        tellOf(gradients);
        return gradients;
      },
    };
  };
}

/**
 * Observes operations missing from the profile: ops/raw-op.ts, compiled parts, tensors that the tape reads or keeps, and loops on
 * the host, each of which creates its result; returns a function that stops it.
 */
function onUnlisted(tell: (work: Work) => void): () => void {
  const backend = nodeBackend() as ReturnType<typeof nodeBackend> & { incRef(dataId: object): void };
  const { binding, executeSingleOutput, incRef } = backend;
  const { create } = kernels();
  backend.incRef = (dataId) => {
    incRef.call(backend, dataId);
    tell({ flops: 0, touched: 0, operations: 1 });
  };
  wrapKernels((chosen) => ({
    ...chosen,
    create(shape) {
      // A loop reads about as much as it writes.
      tell({ flops: 0, touched: 2 * sizeOf(shape), operations: 1 });
      return create(shape);
    },
    // These loops are handed the function that creates their results elsewhere.
    rotate: told(chosen.rotate, tell),
    unitRows: told(chosen.unitRows, tell),
    groupProducts: told(chosen.groupProducts, tell),
  }));
  backend.executeSingleOutput = (name, attributes, inputs) => {
    const output = executeSingleOutput.call(backend, name, attributes, inputs);
    const inputShapes = inputs.map(({ shape }) => shape);
    if (name === 'MatMul' || name === 'SigmoidGrad')
      tell(workOf({ name, inputShapes, outputShapes: [output.shape] }));
    return output;
  };
  const shapes = new Map<number, readonly number[]>();
  const idsOf = backend.getInputTensorIds;
  backend.getInputTensorIds = (tensors) => {
    const ids = idsOf.call(backend, tensors);
    ids.forEach((id, i) => {
      shapes.set(id, tensors[i].shape);
    });
    return ids;
  };
  backend.binding = new Proxy({} as NodeBinding, {
    get(_, property: keyof NodeBinding) {
      const member = binding[property] as unknown;
      if (typeof member !== 'function') return member;
      if (property !== 'runSavedModel') return member.bind(binding);
      return (...args: Parameters<NodeBinding['runSavedModel']>) => {
        const outputs = binding.runSavedModel(...args);
        const touched = [...args[1].map((id) => shapes.get(id)!), ...outputs.map(({ shape }) => shape)];
        tell({
          flops: 0,
          touched: touched.reduce((total, shape) => total + sizeOf(shape), 0),
          operations: 1,
        });
        return outputs;
      };
    },
  });
  return () => {
    Object.assign(backend, { binding, executeSingleOutput, incRef, getInputTensorIds: idsOf });
    wrapKernels((chosen) => ({ ...chosen, create }));
  };
}

function activeKernels(): number {
  const { state } = tf.engine() as unknown as { state: { activeProfile: { kernels: unknown[] } } };
  return state.activeProfile.kernels.length;
}

type Kernel = Pick<
  Awaited<ReturnType<typeof tf.profile>>['kernels'][number],
  'name' | 'inputShapes' | 'outputShapes'
>;

function workOf({ name, inputShapes, outputShapes }: Kernel): Work {
  const sizes = inputShapes.filter((shape) => shape != null).map(sizeOf);
  const out = outputShapes.map(sizeOf).reduce((a, b) => a + b, 0);
  if (/MatMul/.test(name)) {
    // (batch a b) (batch b c) / (batch a c) = batch b^2
    const batch = outputShapes[0].length === 3 ? outputShapes[0][0] : 1;
    return { flops: 2 * out * Math.sqrt((sizes[0] * sizes[1]) / out / batch), touched: 0, operations: 1 };
  }
  // An identity is counted as a tensor that is kept.
  if (name === 'Identity') return { flops: 0, touched: 0, operations: 0 };
  if (name === 'Reshape') return { flops: 0, touched: 0, operations: 1 };
  // These kernels read only as much as they output.
  const read = ['Slice', 'SplitV', 'GatherV2'].includes(name) ? out : sizes.reduce((a, b) => a + b, 0);
  return { flops: 0, touched: read + out, operations: 1 };
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}

function sum(works: readonly (Work | null)[]): Work {
  const total = (of: (work: Work) => number) =>
    works.reduce((so, work) => so + (work === null ? 0 : of(work)), 0);
  return {
    flops: total(({ flops }) => flops),
    touched: total(({ touched }) => touched),
    operations: total(({ operations }) => operations),
  };
}

function batchOf({ model, train }: RunConfig): Batch {
  const numTokens = train.globalBatch * model.seqLen;
  const tokens = (step: number) =>
    Int32Array.from({ length: numTokens }, (_, t) => (t * step) % model.vocabSize);
  return {
    numSequences: train.globalBatch,
    seqLen: model.seqLen,
    tokenIds: tokens(7),
    targets: tokens(11),
    domains: Int32Array.from({ length: train.globalBatch }, (_, i) => i % 2),
  };
}
