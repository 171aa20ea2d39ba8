import { expect, it } from 'vitest';
import { soloTransport } from '../../../src/collectives/solo-transport.js';
import type { Transport } from '../../../src/collectives/transport.js';
import type { Batch } from '../../../src/data/batch.js';
import { TrainerError } from '../../../src/errors.js';
import { tf } from '../../../src/ops/tensorflow.js';
import { denseGateLogits } from '../../../src/routing/gates/dense-gate.js';
import { createRouter, ROUTER_NAMES } from '../../../src/routing/index.js';
import { checkedRouter } from '../../../src/routing/own/checked-router.js';
import type { CreatedRouter, RouterInput, RoutingDecision } from '../../../src/routing/router.js';
import { createTrainState } from '../../../src/worker/state.js';
import { tinyConfig } from '../../model/support.js';
import { batchesOf } from '../../worker/step-batches.js';
import { routerContext } from '../context.js';

const blame = (why: string) => new TrainerError('BAD_CONFIG', `router mine.mjs ${why}`);
const CONTEXT = routerContext({ router: 'hash', numExperts: 4, expertGroups: 1 });
const T = 6;
const input: RouterInput = {
  xTD: tf.zeros([T, 6]),
  tokenIdsT: Int32Array.from({ length: T }, (_, t) => t),
  idBefore: () => 0,
  domainsT: new Int32Array(T),
  training: true,
  parameters: new Map(),
};

/** Creates a router whose decisions are modified by `change`. */
function deciding(change: (decision: RoutingDecision) => object): CreatedRouter {
  const { route } = createRouter(CONTEXT);
  const decide = (given: RouterInput) => {
    const decision = route(given);
    return { ...decision, ...change(decision) };
  };
  return checkedRouter({ route: decide }, CONTEXT, blame);
}

function first(list: Int32Array, value: number): Int32Array {
  return list.with(0, value);
}

it.each<[string, (decision: RoutingDecision) => object, string]>([
  [
    'no expert',
    (its) => ({ chosenTK: first(its.chosenTK, 9) }),
    'chosenTK[0] is 9; experts are 0 to 3, and -1',
  ],
  [
    'an expert below all',
    (its) => ({ chosenTK: first(its.chosenTK, -7) }),
    'chosenTK[0] is -7; experts are 0',
  ],
  ['half an expert', () => ({ chosenTK: [0.5] }), 'chosenTK is no Int32Array of length 6'],
  ['too few tokens', () => ({ expertsTK: new Int32Array(5) }), 'expertsTK is no Int32Array of length 6'],
  ['no weight', () => ({ weightsTK: tf.fill([T, 1], Number.NaN) }), 'weightsTK[0] is NaN'],
  ['scores of one expert', () => ({ scores: { gateTE: new Float32Array(T) } }), 'Float32Array of length 24'],
  [
    'another expert than it chose',
    () => ({ expertsTK: Int32Array.of(3, 3, 3, 3, 3, 3) }),
    '; it is chosenTK[',
  ],
  ['counts of other choices', (its) => ({ keptE: first(its.keptE, 5) }), '[0] is '],
  [
    'uncounted choices',
    (its) => ({ routedE: first(its.routedE, 5) }),
    'routedE[0] is 5, and chosenTK has it ',
  ],
  [
    'other counts for its rank',
    (its) => ({ keptOfRank: [first(its.keptE, 5)] }),
    '[0][0] is 5, and keptE[0] ',
  ],
  ['counts of too few ranks', () => ({ keptOfRank: [] }), 'is no list of 1 Int32Arrays of length 4'],
  ['no number of choices', () => ({ numChoices: undefined }), 'numChoices is undefined'],
  ['other weights', () => ({ weightsTK: tf.ones([2, 2]) }), 'neither null nor a tensor of shape [6, 1]'],
  ['a loss that is no scalar', () => ({ auxiliaryLoss: 3 }), 'auxiliaryLoss is neither null nor a scalar'],
  ['no cosines', () => ({ gateCosine: { sum: Number.NaN } }), 'gateCosine is neither null nor has numbers'],
])('a router that decides for %s is named', (_, change, why) => {
  let line = '';
  try {
    deciding(change).route(input);
  } catch (error) {
    ({ line } = error as TrainerError);
    expect(error).toHaveProperty('code', 'BAD_CONFIG');
  }
  expect(line).toMatch(/^layer 2: router mine\.mjs decided wrongly: /);
  expect(line).toContain(why);
});

it('a weight that is not finite is not the fault of a router whose input is not finite either', () => {
  const weightsTK = tf.fill([T, 1], Number.NaN);
  const spoiled = { ...input, xTD: tf.fill([T, 6], Number.POSITIVE_INFINITY) };
  expect(deciding(() => ({ weightsTK })).route(spoiled as RouterInput).weightsTK).toBe(weightsTK);
});

it.each<[string, (mine: Int32Array) => void, string | null]>([
  ['the same', () => {}, null],
  ['other counts', (mine) => mine.set([mine[0]! ^ 1], 0), 'rank 1 has another keptOfRank than rank 0'],
  ['more choices', (mine) => mine.set([2], 1), 'rank 1 has another numChoices than rank 0'],
  ['weights', (mine) => mine.set([1], 2), 'rank 1 has another weightsTK, which is null on one of them, than'],
])('ranks that decide for %s are compared at once', (_, change, why) => {
  const topology = { ...CONTEXT.topology, worldSize: 2 };
  const transport = {
    topology,
    transfer(_: unknown, sent: { parts: Uint8Array[] }[], received: { parts: Uint8Array[] }[]) {
      const other = new Uint8Array(sent[0]!.parts[0]!);
      change(new Int32Array(other.buffer));
      received[0]!.parts[0]!.set(other);
    },
  } as unknown as Transport;
  const decision = createRouter(CONTEXT).route(input);
  const both = { ...decision, keptOfRank: [decision.keptE, decision.keptE] };
  const router = checkedRouter({ route: () => both }, { ...CONTEXT, topology, transport }, blame);
  if (why === null) expect(router.route(input)).toBe(both);
  else expect(() => router.route(input)).toThrow(`router mine.mjs decided wrongly: ${why}`);
});

it.each(ROUTER_NAMES)('nothing is wrong with the decisions of %s', (router) => {
  const config = tinyConfig({ moe: { router } });
  const { model } = createTrainState(config, soloTransport(), null);
  const [batch] = batchesOf(1) as [Batch];
  const seen: number[] = [];
  for (const training of [true, false])
    tf.tidy(() => {
      model.loss(batch, {
        training,
        inspect: (layer, _, decision) => {
          const context = routerContext({}, { moe: config.moe, layer });
          const checked = checkedRouter({ route: () => decision }, context, blame);
          seen.push(checked.route({ ...input, domainsT: new Int32Array(batch.tokenIds.length) }).numChoices);
        },
      });
    });
  expect(seen.length).toBeGreaterThan(1);
  model.dispose();
});

it('a router may be of a class, whose getters are asked each time', () => {
  class Counting {
    numCalls = 0;
    get state() {
      return new Map([['calls', Float32Array.of(this.numCalls)]]);
    }
    route() {
      this.numCalls++;
      throw new Error('not today');
    }
  }
  const router = checkedRouter(new Counting() as never, CONTEXT, blame);
  expect(() => router.route(input)).toThrow('failed in route');
  expect([...router.state!.get('calls')!]).toEqual([1]);
  for (const other of [{}, null])
    expect(() => checkedRouter(other as never, CONTEXT, blame)).toThrow(
      'creates no object with a function route',
    );
});

it('a router without a gate says so where something is to stand in for the gate', () => {
  const silenced: RouterInput = { ...input, gateControl: 'zero' };
  expect(() => deciding(() => ({})).route(silenced)).toThrow(
    expect.objectContaining({
      code: 'BAD_INPUT',
      message: expect.stringContaining('controlled(scores, input.gateControl)'),
    }),
  );
  const { route } = createRouter(CONTEXT);
  const asking = {
    route: (given: RouterInput) => (given.gateControl === 'zero' ? route(given) : route(input)),
  };
  expect(checkedRouter(asking, CONTEXT, blame).route(silenced).numChoices).toBe(1);
  const weight = tf.ones([6, 4]);
  const logitsTE = denseGateLogits({
    ...silenced,
    xTD: tf.ones([T, 6]),
    parameters: new Map([['weight', weight]]),
  });
  expect(new Set(logitsTE.dataSync())).toEqual(new Set([0]));
});

function throwing(error: unknown): () => never {
  return () => {
    throw error;
  };
}

const ofItsCode = Object.assign(new Error('x'), { stack: 'at file:///tmp/locmoe-router-0-1/mine.mjs:12:5' });

it.each<[string, () => unknown, string]>([
  ['an error', throwing(new TypeError('a\nb')), 'failed in route: TypeError: a'],
  ['null', throwing(null), 'failed in route: null'],
  ['an error of its own code', throwing(ofItsCode), 'failed in route (mine.mjs:12): Error: x'],
  [
    'nothing',
    () => undefined,
    'decided wrongly: numChoices is undefined; it is how many choices a token has',
  ],
])('a router that gives %s is named in one line', (_, route, why) => {
  const router = checkedRouter({ route: route as () => RoutingDecision }, CONTEXT, blame);
  expect(() => router.route(input)).toThrow(`router mine.mjs ${why}`);
});
