import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Inference, openInference } from 'locmoe/internal/inference/inference';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pythonWith } from '../../../scripts/python-oracles.mjs';
import { skipLoudly } from '../../../test/debian-tool.js';
import { NIGHTLY } from '../../../test/nightly.js';
import { exportedArchitecture } from '../src/exported-architecture.js';
import { modelFile } from '../src/onnx/model-file.js';
import { modelGraph } from '../src/onnx/model-graph.js';
import { onnx } from '../src/onnx/onnx.js';
import { writeFolder } from '../src/output-folder.js';
import { runPython } from './python.js';
import { ownLogits, ownRouting, sequences, TRIED, TRIED_MIXTRAL, trainedCheckpoint } from './trained.js';
import { wholeSequences } from './whole-sequences.js';

const HASH = 'hash without experts for a part of the ids';
const LOOKING_BACK = 'hash that looks back';
/** With rotated heads, two of queries for one of keys. */
const [GROUPED] = TRIED_MIXTRAL;

// Shapes: B sequences, S positions, V vocabulary, E experts.

interface Exported {
  readonly inference: Inference;
  /** Folder of the export. */
  readonly folder: string;
  readonly idsBS: readonly Int32Array[];
  readonly ownLogitsBSV: Float32Array;
}

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-onnx-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const exported = new Map<string, Exported>();
beforeAll(async () => {
  for (const [i, variant] of [...TRIED, ...TRIED_MIXTRAL].entries()) {
    const checkpoint = trainedCheckpoint(mkdtempSync(path.join(folder, 'model-')), variant);
    const output = path.join(folder, `export-${i}`);
    await writeFolder(output, (files) => onnx.write(checkpoint, files, 'float32'));
    const inference = openInference(checkpoint);
    const idsBS = sequences(inference);
    const rows = idsBS.flatMap((ids, domain) => ownLogits(inference, ids, domain));
    const ownLogitsBSV = Float32Array.from(rows.flatMap((row) => [...row]));
    exported.set(variant, { inference, folder: output, idsBS, ownLogitsBSV });
  }
});

/** Inputs for a sequence of each domain. */
function inputs(session: InferenceSession, idsBS: readonly Int32Array[]) {
  return wholeSequences(
    session,
    idsBS.flatMap((ids) => [...ids]),
    [...idsBS.keys()],
  );
}

/** Outputs of a model file by name. */
async function run(file: string, idsBS: readonly Int32Array[]) {
  const session = await InferenceSession.create(file);
  const outputs = await session.run(inputs(session, idsBS));
  await session.release();
  return (name: string) => outputs[name]!.data as Float32Array;
}

describe.each([...TRIED, ...TRIED_MIXTRAL])('%s', (variant) => {
  it('gives the same logits and the same routing in ONNX Runtime', async () => {
    const { inference, folder, idsBS, ownLogitsBSV } = exported.get(variant)!;
    const { model, moe } = inference.config;
    const output = await run(path.join(folder, 'onnx/model.onnx'), idsBS);
    expect(greatestDifference(output('logits'), ownLogitsBSV)).toBeLessThan(1e-4);

    const ownLayers = idsBS.map((ids, domain) => ownRouting(inference, ids, domain));
    for (let i = 0; i < model.numSparseLayers; i++) {
      const weights = output(`layers.${model.numDenseLayers + i}.weights`);
      const ownWeightsBSE = ownLayers.flatMap((layers) => layers[i]!.weights);
      expect(greatestDifference(weights, ownWeightsBSE)).toBeLessThan(1e-4);
    }
    // Without refused tokens the thresholds would not be tested.
    const refused = ownLayers.flat().reduce((sum, layer) => sum + layer.refused, 0);
    const hasThresholds =
      moe.tableAfter === 0 &&
      (moe.router === 'expert-choice' || (moe.router === 'locmoe-plus' && moe.selection !== 'tcr'));
    if (hasThresholds && model.numSparseLayers > 0) expect(refused).toBeGreaterThan(0);
  });
});

describe('any graph', () => {
  it('takes sequences of every length, also one whose tokens no expert takes', async () => {
    const { folder, idsBS, ownLogitsBSV, inference } = exported.get('locmoe-plus')!;
    const file = path.join(folder, 'onnx/model.onnx');
    const { vocabSize, seqLen } = inference.config.model;
    for (const length of [1, 2, seqLen - 1]) {
      const output = await run(
        file,
        idsBS.map((ids) => ids.subarray(0, length)),
      );
      const own = idsBS.flatMap((_, b) => [
        ...ownLogitsBSV.subarray(b * seqLen * vocabSize, (b * seqLen + length) * vocabSize),
      ]);
      expect(greatestDifference(output('logits'), own)).toBeLessThan(1e-4);
    }
    const { config, checkpoint } = inference;
    const refusesAll = modelGraph(exportedArchitecture(config), (name, shape) =>
      name.endsWith('.threshold') ? new Float32Array(shape[0]!).fill(2) : checkpoint.read(name, shape),
    );
    const other = path.join(folder, 'refuses-all.onnx');
    writeFileSync(other, modelFile(refusesAll, '').model);
    const output = await run(other, idsBS);
    expect(Math.max(...output(`layers.${config.model.numDenseLayers}.weights`))).toBe(0);
    expect(output('logits').every(Number.isFinite)).toBe(true);
  });

  it.each([LOOKING_BACK, 'locmoe-plus', GROUPED!])(
    'goes on from keys and values of the tokens before: %s',
    async (variant) => {
      const { folder, idsBS, ownLogitsBSV, inference } = exported.get(variant)!;
      const { seqLen, vocabSize } = inference.config.model;
      const session = await InferenceSession.create(path.join(folder, 'onnx/model.onnx'));
      let past: Record<string, Tensor> = {};
      const cuts = [0, 5, 6, seqLen];
      for (const [i, end] of cuts.slice(1).entries()) {
        const begin = cuts[i]!;
        const given = inputs(
          session,
          idsBS.map((ids) => ids.subarray(begin, end)),
        );
        const attention_mask = ones([idsBS.length, end]);
        const outputs = await session.run({ ...given, ...past, attention_mask });
        const own = idsBS.flatMap((_, b) => [
          ...ownLogitsBSV.subarray((b * seqLen + begin) * vocabSize, (b * seqLen + end) * vocabSize),
        ]);
        expect(greatestDifference(outputs.logits!.data as Float32Array, own)).toBeLessThan(1e-4);
        const presents = Object.entries(outputs).filter(([name]) => name.startsWith('present.'));
        past = Object.fromEntries(
          presents.map(([name, value]) => [name.replace('present', 'past_key_values'), value]),
        );
      }
      await session.release();
    },
  );

  it.each([HASH, LOOKING_BACK, 'locmoe-plus', GROUPED!])(
    'sees nothing of the padding before a text: %s',
    async (variant) => {
      const { folder, idsBS, ownLogitsBSV, inference } = exported.get(variant)!;
      const { seqLen, vocabSize } = inference.config.model;
      const session = await InferenceSession.create(path.join(folder, 'onnx/model.onnx'));
      const padding = 5;
      const padded = idsBS.map((ids) =>
        Int32Array.from({ length: padding + seqLen }, (_, i) => ids[i - padding] ?? 7),
      );
      const attention_mask = ones([idsBS.length, padding + seqLen]);
      for (const b of idsBS.keys())
        (attention_mask.data as BigInt64Array).fill(
          0n,
          b * (padding + seqLen),
          b * (padding + seqLen) + padding,
        );
      const { logits } = await session.run({ ...inputs(session, padded), attention_mask });
      for (const b of idsBS.keys()) {
        const end = (b + 1) * (padding + seqLen) * vocabSize;
        const ofText = (logits!.data as Float32Array).subarray(end - seqLen * vocabSize, end);
        const own = ownLogitsBSV.subarray(b * seqLen * vocabSize, (b + 1) * seqLen * vocabSize);
        expect(greatestDifference(ofText, own)).toBeLessThan(1e-4);
      }
      await session.release();
    },
  );

  it.each([HASH, 'locmoe-plus'])(
    'refuses domains that the model does not know, router %s',
    async (variant) => {
      const { folder, idsBS } = exported.get(variant)!;
      const session = await InferenceSession.create(path.join(folder, 'onnx/model.onnx'), {
        logSeverityLevel: 4,
      });
      const one = inputs(session, idsBS.slice(0, 1));
      for (const unknown of [-1n, -2n, 2n]) {
        const domain = new Tensor('int64', BigInt64Array.of(unknown), [1]);
        await expect(session.run({ ...one, domain }), `${unknown}`).rejects.toThrow(/out of data bounds/);
      }
      await session.release();
    },
  );

  it.each(['locmoe-plus', GROUPED!])(
    'refuses a longer sequence than it sees, and says how long: %s',
    async (variant) => {
      const { folder, idsBS } = exported.get(variant)!;
      const session = await InferenceSession.create(path.join(folder, 'onnx/model.onnx'), {
        logSeverityLevel: 4,
      });
      const longer = idsBS.map((ids) => Int32Array.of(...ids, 1));
      await expect(session.run(inputs(session, longer))).rejects.toThrow(/at most 24 tokens in input_ids/);
      await session.release();
    },
  );

  it('adds the rows of one expert at a time', () => {
    // Rows for the same token in one ScatterND would race in ONNX Runtime, but seldom enough for a test to miss it.
    const { config, checkpoint } = exported.get('locmoe-plus')!.inference;
    const { nodes } = modelGraph(exportedArchitecture(config), (name, shape) => checkpoint.read(name, shape));
    const scatters = nodes.filter(({ operator }) => operator === 'ScatterND');
    const tokens = new Set(scatters.map(({ inputs }) => inputs[1]));
    expect(tokens.size).toBe(config.model.numSparseLayers * config.moe.numExperts);
    expect(scatters).toHaveLength(tokens.size);
    for (const value of tokens)
      expect(nodes.find(({ outputs }) => outputs.includes(value!))?.operator).toBe('Split');
  });

  it('is refused for a router that has no rule as data', () => {
    const { config } = exported.get('locmoe-plus')!.inference;
    const other = { ...config, moe: { ...config.moe, ranking: 'random' as const } };
    expect(() => exportedArchitecture(other)).toThrow(/^moe\.router locmoe-plus cannot be exported [^\n]*$/);
  });
});

const CHECK = `
import sys, onnx
for folder in sys.argv[1:]:
    onnx.checker.check_model(onnx.load(folder + '/onnx/model.onnx'), full_check=True)
print('checked', len(sys.argv) - 1)
`;
// It runs in its own process: Debian's two packages share a library and complain if both are loaded.
const RUN = `
import sys, json, numpy, onnxruntime
for folder in sys.argv[1:]:
    ids = numpy.array(json.load(open(folder + '/ids.json')), dtype=numpy.int64)
    own = numpy.fromfile(folder + '/logits', dtype=numpy.float32)
    session = onnxruntime.InferenceSession(folder + '/onnx/model.onnx')
    inputs = {'input_ids': ids, 'attention_mask': numpy.ones_like(ids), 'domain': numpy.arange(len(ids))}
    for past in session.get_inputs()[3:]:
        inputs[past.name] = numpy.zeros((len(ids), past.shape[1], 0, past.shape[3]), numpy.float32)
    logits, = session.run(['logits'], inputs)
    difference = numpy.abs(logits.flatten() - own).max()
    print('good' if difference < 1e-4 else f'{folder} differs by {difference}')
`;

describe("Debian's Python", () => {
  it('finds every graph valid', ({ skip }) => {
    const python = pythonWith(['onnx']) ?? skipLoudly(skip, 'no python3-onnx');
    const folders = [...exported.values()].map(({ folder }) => folder);
    expect(runPython(python, CHECK, ...folders)).toBe(`checked ${folders.length}\n`);
  });

  // By day ONNX Runtime for Node stands for this one.
  it.runIf(NIGHTLY)('computes the same logits with its ONNX Runtime', ({ skip }) => {
    const python = pythonWith(['onnxruntime', 'numpy']) ?? skipLoudly(skip, 'no python3-onnxruntime');
    for (const { folder, idsBS, ownLogitsBSV } of exported.values()) {
      writeFileSync(path.join(folder, 'ids.json'), JSON.stringify(idsBS.map((ids) => [...ids])));
      writeFileSync(path.join(folder, 'logits'), ownLogitsBSV);
    }
    const folders = [...exported.values()].map(({ folder }) => folder);
    expect(runPython(python, RUN, ...folders)).toBe('good\n'.repeat(folders.length));
  });
});

function ones(shape: readonly [number, number]): Tensor {
  return new Tensor('int64', new BigInt64Array(shape[0] * shape[1]).fill(1n), shape);
}

function greatestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}
