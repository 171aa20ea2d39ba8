import { expect, it, onTestFinished } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { topologyOf } from '../../src/collectives/topology.js';
import type { Transport } from '../../src/collectives/transport.js';
import { syncGradients } from '../../src/worker/gradient-sync.js';
import { createTrainState } from '../../src/worker/state.js';
import { tinyConfig } from '../model/support.js';

const NUM_RANKS = 4;
const NO_SNAPSHOT = { refusals: 1, cost: 0, localCost: 0 };

/** The messages that a rank of four would send while it reduces its gradients, with their receivers. */
function messagesOf(rank: number, train: Parameters<typeof tinyConfig>[0]): string[] {
  const messages: string[] = [];
  const solo = soloTransport();
  const transport: Transport = {
    ...solo,
    topology: topologyOf(rank, 2, NUM_RANKS / 2),
    start({ purpose }, sends) {
      messages.push(`${purpose} to ${sends.map(({ to }) => to)}`);
      return { finish() {} };
    },
  };
  const state = createTrainState(tinyConfig({ moe: { numExperts: 2 }, ...train }), transport, null);
  onTestFinished(() => state.model.dispose());
  syncGradients({
    transport,
    parameters: state.model.parameters,
    replicas: state.replicas,
    touched: null,
    sharedSum: { advance() {}, finish() {} },
    wirePrecision: 'float32',
    loss: 1,
    timeUsed: 0,
    snapshot: NO_SNAPSHOT,
  });
  return messages;
}

it.each([
  ['of which all experts move', []],
  ['whose experts are frozen', ['layers.1.experts.0']],
])('a rank %s takes part in every exchange of the others', (_, freeze) => {
  // Experts 0 and 1 are on ranks 0 and 2, and on 1 and 3.
  for (const rank of [0, 1, 2, 3]) {
    const replica = (rank + 2) % NUM_RANKS;
    const others = [0, 1, 2, 3].filter((other) => other !== rank);
    expect(messagesOf(rank, { train: { freeze } })).toEqual([
      `expert gradients to ${replica}`,
      `expert gradients to ${replica}`,
      `gradient norm to ${others}`,
    ]);
  }
});
