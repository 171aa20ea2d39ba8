import { describe, expect, it } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import type { RunConfig } from '../../src/config/schema.js';
import { gainsOfIds, idsInNeed } from '../../src/evaluation/needs.js';
import { PanguSigma } from '../../src/model/pangu-sigma.js';
import { encodeNeeds } from '../../src/routing/needs-file.js';
import { expectClose, randomValues, tinyConfig } from '../model/support.js';

const NUM_SEQUENCES = 4;
const SEQ_LEN = 6;
const T = NUM_SEQUENCES * SEQ_LEN;
const LAYERS = [1, 2];

/** Every position has an id of its own, so a list of ids drops just these tokens. */
const BATCH = {
  numSequences: NUM_SEQUENCES,
  seqLen: SEQ_LEN,
  tokenIds: Int32Array.from({ length: T }, (_, t) => 3 * t),
  targets: Int32Array.from({ length: T }, (_, t) => (7 * t + 5) % 257),
  domains: Int32Array.of(0, 1, 1, 0),
};

function configWithout(layer: number | null, ids: readonly number[]): RunConfig {
  const all = Array<boolean>(257).fill(true);
  const listOf = (each: number) => encodeNeeds(all.map((_, id) => each !== layer || !ids.includes(id)));
  const layers = Object.fromEntries(LAYERS.map((each) => [each, listOf(each)]));
  const needs = { version: 1, vocabSize: 257, share: 1, layers } as const;
  return tinyConfig({
    model: { numSparseLayers: 2 },
    moe: { router: 'hash', needs: layer === null ? null : needs },
  });
}

function build(config: RunConfig): PanguSigma {
  const model = new PanguSigma(config, soloTransport());
  for (const { values, ranges } of [model.parameters.shared, model.parameters.expert])
    for (const { name, begin, end, shape } of ranges)
      if (shape.length === 2) values.set(randomValues(name, end - begin, 0.4), begin);
  model.parameters.pushValues();
  return model;
}

/** Loss of each token, each from a pass over the tokens before it alone. */
function slowLosses(config: RunConfig): number[] {
  const model = build(config);
  const losses = Array.from({ length: T }, (_, t) => {
    const first = t - (t % SEQ_LEN);
    const logits = model.logits(BATCH.tokenIds.slice(first, t + 1), BATCH.domains[first / SEQ_LEN]);
    return Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0)) - logits[BATCH.targets[t]];
  });
  model.dispose();
  return losses;
}

describe('gains of ids', () => {
  it('are what models whose lists leave every fifth token out lose', () => {
    const model = build(configWithout(null, []));
    const gains = gainsOfIds(model, [BATCH]);
    model.dispose();
    const whole = slowLosses(configWithout(null, []));
    expect([...gains.keys()]).toEqual(LAYERS);
    for (const layer of LAYERS) {
      const expected = new Float64Array(257);
      for (let pass = 0; pass < 5; pass++) {
        const dropped = [...Array(T).keys()].filter((t) => t % 5 === pass);
        const losses = slowLosses(
          configWithout(
            layer,
            dropped.map((t) => BATCH.tokenIds[t]),
          ),
        );
        for (const t of dropped) expected[BATCH.tokenIds[t]] = losses[t] - whole[t];
      }
      expectClose(gains.get(layer)!.gainV, expected, 2e-5);
      expect(Math.max(...expected.map(Math.abs))).toBeGreaterThan(0.05);
      expect(gains.get(layer)!.tokensV).toEqual(
        Float64Array.from(expected.keys(), (id) => (BATCH.tokenIds.includes(id) ? 1 : 0)),
      );
    }
  });

  it('leave out tokens that do not count', () => {
    const model = build(configWithout(null, []));
    const counted = new Uint8Array(T).fill(1);
    counted[8] = 0;
    const positions = Int32Array.from({ length: T }, (_, t) => t % SEQ_LEN);
    const gains = gainsOfIds(model, [{ ...BATCH, packed: { positions, counted, numCounted: T - 1 } }]);
    model.dispose();
    expect(gains.get(1)!.tokensV[BATCH.tokenIds[8]]).toBe(0);
    expect(gains.get(1)!.tokensV.reduce((a, b) => a + b)).toBe(T - 1);
  });
});

describe('ids in need', () => {
  const tokensV = Float64Array.of(10, 0, 20, 5, 65);
  const gainV = Float64Array.of(10, 0, 60, 20, -10);

  it.each([
    [0.05, [3], 0.05, 0.25],
    [0.06, [2, 3], 0.25, 1],
    [0.3, [0, 2, 3], 0.35, 1.125],
    [1, [0, 2, 3, 4], 1, 1],
  ])(
    'of greatest mean gain hold a share of %f, and ids that were not met are among them',
    (share, ids, held, ofGains) => {
      const found = idsInNeed({ gainV, tokensV }, share);
      expect([...found.hasExpertV.keys()].filter((id) => found.hasExpertV[id])).toEqual([...ids, 1].sort());
      expect(found.share).toBeCloseTo(held);
      expect(found.ofGains).toBeCloseTo(ofGains);
    },
  );
});
