import { expect, it } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { runSchema } from '../../src/config/schema.js';
import { assertTrainable, isFrozenBy } from '../../src/model/frozen.js';
import { tf } from '../../src/ops/tensorflow.js';
import { createTrainState } from '../../src/worker/state.js';
import { trainStep } from '../../src/worker/train-step.js';
import { batchesOf } from '../worker/step-batches.js';
import { tinyConfig } from './support.js';

type Freezing = Partial<{
  freeze: string[];
  only: 'router' | 'experts' | null;
  expertUpdate: 'dense' | 'touched';
}>;
const frozen = (train: Freezing, moe: Parameters<typeof tinyConfig>[0] = {}) => {
  const config = tinyConfig({ moe: { sharedExperts: 1 }, ...moe });
  return runSchema.parse({
    ...config,
    train: { ...config.train, learningRate: 0.1, schedule: 'constant', ...train },
  });
};

/** Names of the parameters changed by three steps, and the gradient norm of the first. */
function moved(train: Freezing): { names: string[]; norm: number; moments: string[] } {
  const state = createTrainState(frozen(train), soloTransport(), null);
  const { parameters } = state.model;
  const before = new Map([...parameters.entries()].map(({ name, values }) => [name, values.slice()]));
  const [norm] = [1, 2, 3].map(
    (step) => trainStep(state, { step, batches: batchesOf(step) }).report.gradientNorm,
  );
  const names = [...parameters.entries()]
    .filter(({ name, values }) => values.some((value, i) => value !== before.get(name)![i]))
    .map(({ name }) => name);
  const moments = [parameters.shared, parameters.expert].flatMap(({ ranges, v }) =>
    ranges
      .filter(({ begin, end }) => v.subarray(begin, end).some((each) => each !== 0))
      .map(({ name }) => name),
  );
  state.model.dispose();
  return { names, norm, moments };
}

it.each(['dense', 'touched'] as const)(
  'frozen parameters keep every bit, also of what decays, and do not count in the norm, expertUpdate %s',
  (expertUpdate) => {
    const all = moved({ expertUpdate });
    const some = moved({
      expertUpdate,
      freeze: ['embed', 'layers.1.experts.2', 'layers.1.shared', 'query.attn.q'],
    });
    const isFrozen = (name: string) =>
      /^(embed\.|layers\.1\.(experts\.2|shared)\.|query\.attn\.q$)/.test(name);
    expect(some.names.toSorted()).toEqual(all.names.filter((name) => !isFrozen(name)).toSorted());
    expect(some.moments.toSorted()).toEqual(some.names.toSorted());
    expect(some.norm).toBeLessThan(all.norm);
  },
);

it.each([
  ['router', /^layers\.1\.router\./],
  ['experts', /^layers\.1\.experts\./],
] as const)('train.only %s moves nothing else', (only, pattern) => {
  const { names } = moved({ only });
  expect(names.length).toBeGreaterThan(0);
  expect(names.filter((name) => !pattern.test(name))).toEqual([]);
});

/** Gradients of a batch by name, and how often the backward pass reaches a point where it can start communication. */
function backwardOf(train: Freezing) {
  const config = frozen(train);
  const { model } = createTrainState(config, soloTransport(), null);
  let numPlaces = 0;
  const onBackward = () => void numPlaces++;
  model.parameters.computeGradients(() => {
    const { crossEntropy, auxiliaryLoss } = model.loss(batchesOf(1)[0], { training: true, onBackward });
    return tf.add(crossEntropy, auxiliaryLoss);
  });
  const gradients = new Map(
    [...model.parameters.entries()].map((each) => [each.name, each.gradients.slice()]),
  );
  const frozenNames = model.parameterSpecs.filter(isFrozenBy(config.train)).map(({ name }) => name);
  model.dispose();
  return { gradients, numPlaces, frozenNames };
}

it.each([
  [{ freeze: ['layers.1.attn', 'query.ffn.w_in', 'layers.1.experts.2.w_out', 'layers.1.shared.w_in'] }, 6],
  [{ freeze: ['embed.tokens', 'ln_final'] }, 6],
  [{ freeze: ['embed', 'layers.0'] }, 4],
  [{ freeze: ['embed', 'layers.0', 'layers.1'] }, 1],
  [{ only: 'experts' }, 3],
  [{ only: 'router' }, 1],
] satisfies [Freezing, number][])(
  'with %j the backward pass ends at the lowest parameter that moves, whose gradient keeps every bit',
  (train, numPlaces) => {
    const [all, some] = [backwardOf({}), backwardOf(train)];
    expect([all.numPlaces, some.numPlaces]).toEqual([6, numPlaces]);
    const zeros = some.frozenNames.map((name) => [name, all.gradients.get(name)!.map(() => 0)] as const);
    expect(some.gradients).toEqual(new Map([...all.gradients, ...zeros]));
  },
);

it.each([
  [
    { freeze: ['embedding'] },
    'train.freeze: "embedding" names no parameter; there is embed, layers, query, ln_final',
  ],
  [{ freeze: ['layers.7'] }, 'train.freeze: "layers.7" names no parameter; did you mean layers.0?'],
  [
    { freeze: ['layers.1.expert'] },
    'train.freeze: "layers.1.expert" names no parameter; did you mean layers.1.experts?',
  ],
  [
    { freeze: ['embed', 'layers', 'query', 'ln_final'] },
    'train.freeze and train.only leave nothing to train',
  ],
] as const)('refuses %j', (train, message) => {
  expect(() => assertTrainable(frozen({ freeze: [...train.freeze] }))).toThrow(
    expect.objectContaining({ code: 'BAD_CONFIG', message }),
  );
});

it('refuses to train a router that has no parameters', () => {
  expect(() => assertTrainable(frozen({ only: 'router' }, { moe: { router: 'hash' } }))).toThrow(
    'train.only: router hash has no parameters to train here',
  );
  expect(() => assertTrainable(frozen({ only: 'router' }))).not.toThrow();
});
