import { expect, it, vi } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { Device } from '../../src/ops/kernels/webgpu/device.js';
import { createTrainState } from '../../src/worker/state.js';
import { trainStep } from '../../src/worker/train-step.js';
import { tinyConfig } from '../model/support.js';
import { withWebGpu } from '../with-webgpu.js';
import { batchesOf } from '../worker/step-batches.js';

const [TOKENS, EXPERTS, WIDTH] = [24, 4, 8];

withWebGpu('a step on a device reads back', () => {
  // Each reads the losses of the tokens last of its forward pass, and partial sums of the norm of the gradients at the end.
  it.each([
    ['no activation with a table', 'hash', [TOKENS]],
    // The norms, and the gate itself, are for the cosines that a step reports.
    [
      'scores with a gate, and their gradient where they were chosen',
      'switch',
      [TOKENS * EXPERTS, WIDTH * EXPERTS, TOKENS, TOKENS, TOKENS],
    ],
    ['what LocMoE has pooled', 'locmoe', [TOKENS, TOKENS * EXPERTS, EXPERTS, TOKENS, TOKENS]],
    ['what LocMoE+ has pooled', 'locmoe-plus', [TOKENS * EXPERTS, TOKENS, TOKENS * EXPERTS]],
  ] as const)('%s', (_, router, expected) => {
    const state = createTrainState(tinyConfig({ moe: { router } }), soloTransport(), null);
    trainStep(state, { step: 1, batches: batchesOf(1) });
    const readAll = vi.spyOn(Device.prototype, 'readAll');
    trainStep(state, { step: 2, batches: batchesOf(2) });
    const read = readAll.mock.calls.map(([buffers]) => buffers.reduce((sum, { length }) => sum + length, 0));
    readAll.mockRestore();
    expect(read.slice(0, -1)).toEqual(expected);
    state.model.dispose();
  });
});
