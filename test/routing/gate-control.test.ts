import { expect, it } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { tf } from '../../src/ops/tensorflow.js';
import type { GateControl } from '../../src/routing/gate-control.js';
import { ROUTER_NAMES } from '../../src/routing/index.js';
import { createTrainState } from '../../src/worker/state.js';
import { tinyConfig } from '../model/support.js';
import { batchesOf } from '../worker/step-batches.js';

it.each(ROUTER_NAMES.filter((name) => name !== 'hash'))(
  'a control stands in for the gate of %s: zero, or the scores of other tokens',
  (router) => {
    const { model } = createTrainState(tinyConfig({ moe: { router } }), soloTransport(), null);
    const gateScores = (gateControl?: GateControl) => {
      const found: number[][] = [];
      tf.tidy(() => {
        model.loss(batchesOf(1, 1)[0]!, {
          training: false,
          wantsScores: true,
          gateControl,
          inspect: (_, __, { scores }) => found.push([...scores!.gateTE]),
        });
      });
      return found[0]!;
    };
    const [plain, zero, shuffled] = [gateScores(), gateScores('zero'), gateScores('shuffled')];
    expect(new Set(plain).size).toBeGreaterThan(4);
    // The scores of deepseek are sigmoids of logits.
    expect(new Set(zero)).toEqual(new Set([router === 'deepseek' ? 0.5 : 0]));
    expect(shuffled).not.toEqual(plain);
    expect(shuffled.toSorted()).toEqual(plain.toSorted());
    model.dispose();
  },
);
