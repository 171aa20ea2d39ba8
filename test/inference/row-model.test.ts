import { it, onTestFinished } from 'vitest';
import type { Architecture, Norm } from '../../src/architecture/architecture.js';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { rowModel } from '../../src/inference/row-model.js';
import { describe } from '../../src/model/describe.js';
import { LanguageModel } from '../../src/model/language-model.js';
import { BLOCK_OF_CACHE } from '../../src/ops/on-host.js';
import { reference } from '../architecture/reference.js';
import { expectClose, randomIntegers, randomValues, tinyConfig } from '../model/support.js';

const seqLen = 2 * BLOCK_OF_CACHE;
const vocabSize = 257;
const shared = { dModel: 16, seqLen, vocabSize, numDenseLayers: 1, numSparseLayers: 1 };

const PANGU = tinyConfig({
  model: { ...shared, numHeads: 2, queryLayer: true },
  moe: { router: 'locmoe', sharedExperts: 2 },
});
const LLAMA = tinyConfig({
  model: {
    ...shared,
    family: 'llama',
    numHeads: 4,
    numKeyValueHeads: 2,
    headDim: 6,
    attentionBias: true,
    qkNorm: true,
    normEpsilon: 0.1,
    ropeScaling: { type: 'llama3', factor: 4, lowFreqFactor: 1, highFreqFactor: 4, originalSeqLen: 32 },
  },
  moe: { router: 'switch', sharedExperts: 1, sharedExpertGate: true },
});

/** PanGu with RMS norms and a rotation in each layer, and learned queries with a bias and a norm; one head, as wide as a row. */
function mixed(): readonly [typeof PANGU, Architecture] {
  const config = { ...PANGU, model: { ...PANGU.model, numHeads: 1 } };
  const architecture = describe(config);
  const { gain } = architecture.norm;
  const layerNorm: Norm = { ...architecture.norm, epsilon: 0.1 } as Norm;
  const blocks = architecture.blocks.map(({ layer, norm, operation }, block) => ({
    layer,
    norm: { op: 'rmsNorm' as const, gain: norm.gain, epsilon: 0.1 },
    operation:
      operation.op === 'attention'
        ? {
            ...operation,
            rotation: Array.from({ length: 8 }, (_, i) => 1 / (1 + i + block)),
            projections: operation.projections.map((projection) =>
              projection.of === 'input' ? projection : { ...projection, bias: gain, headNorm: layerNorm },
            ),
          }
        : operation,
  }));
  return [config, { ...architecture, blocks }];
}

it.each([
  ['PanGu', PANGU, describe(PANGU)],
  ['Llama', LLAMA, describe(LLAMA)],
  ['a mixture that no family has', ...mixed()],
] as const)('rows give the logits of the reference: %s', (_, config, architecture) => {
  const model = new LanguageModel(config, soloTransport());
  onTestFinished(() => model.dispose());
  const { ranges, values } = model.parameters.shared;
  // Otherwise gains are 1 and biases 0.
  for (const { name, shape, begin, end } of ranges)
    if (shape.length === 1) values.set(randomValues(name, end - begin), begin);
  model.parameters.pushValues();
  const run = rowModel(model, architecture);
  const head = model.parameters.values(architecture.head.name);

  /** The second sequence begins later, so that the positions of the rows differ. */
  const sequences = [0, 3].map((begin, domain) => ({
    begin,
    domain,
    tokenIds: [...randomIntegers(`tokens ${domain}`, seqLen, vocabSize)],
    caches: architecture.blocks.flatMap(({ operation }) => {
      if (operation.op !== 'attention') return [];
      const length = seqLen * operation.numKeyValueHeads * operation.headDim;
      return [{ keys: new Float32Array(length), values: new Float32Array(length) }];
    }),
    logits: [] as number[],
  }));
  for (let step = 0; step < seqLen + 3; step++) {
    const passing = sequences.filter(({ begin }) => step >= begin && step < begin + seqLen);
    const hiddenBD = run({
      positions: passing.map(({ begin }) => step - begin),
      tokenIdsT: Int32Array.from(passing, ({ begin, tokenIds }) => tokenIds[step - begin]),
      idBefore: (row, distance) => passing[row].tokenIds[Math.max(0, step - passing[row].begin - distance)],
      domainsT: Int32Array.from(passing, ({ domain }) => domain),
      caches: passing.map(({ caches }) => caches),
      onDecision: undefined,
    });
    for (const [row, { logits }] of passing.entries())
      for (let id = 0; id < vocabSize; id++) {
        let logit = 0;
        for (let i = 0; i < 16; i++) logit += hiddenBD[row * 16 + i] * head[id * 16 + i];
        logits.push(logit);
      }
  }
  for (const { tokenIds, domain, logits } of sequences) {
    const read = ({ name }: { readonly name: string }) =>
      model.routerState.get(name) ?? model.parameters.values(name);
    const expected = reference(architecture, read, tokenIds, domain).logits.flatMap((row) => [...row]);
    expectClose(logits, expected, 1e-4);
  }
});
