import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openCheckpoint, saveCheckpoint } from '../../src/checkpoint/index.js';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { createTrainState, tensorsToSave } from '../../src/worker/state.js';
import { type TrainState, trainStep } from '../../src/worker/train-step.js';
import { randomIntegers, tinyConfig } from '../model/support.js';

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-state-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const batch = (step: number) => ({
  numSequences: 4,
  seqLen: 6,
  tokenIds: randomIntegers(`tokens ${step}`, 24, 257),
  targets: randomIntegers(`targets ${step}`, 24, 257),
  domains: Int32Array.of(0, 1, 0, 1),
});

function bits({ model }: TrainState): Uint32Array[] {
  const { shared, expert } = model.parameters;
  return [
    ...[shared, expert].flatMap(({ values, m, v }) => [values, m, v]),
    ...model.routerState.values(),
  ].map((values) => new Uint32Array(values.slice().buffer));
}

describe.each(['switch', 'locmoe', 'locmoe-plus'] as const)(
  'a checkpoint of a run with router %s',
  (router) => {
    const config = tinyConfig({
      moe: { router, capacityFactor: 0.9, capacityInterval: 3, capacityBatches: 3, learnedGroups: true },
    });

    it('goes on to the bit, the state of the router too', () => {
      const transport = soloTransport();
      const first = createTrainState(config, transport, null);
      let step = 1;
      for (; step <= 4; step++) trainStep(first, step, batch(step));
      const tokenizerFile = path.join(folder, 'tokenizer.json');
      writeFileSync(tokenizerFile, '{}');
      const saved = saveCheckpoint(transport, {
        root: path.join(folder, router),
        step: 4,
        generation: 1,
        keep: 1,
        runId: 'r',
        config,
        tokenizerFile,
        data: { nextStep: 4 },
        metrics: {},
        tensors: tensorsToSave(first),
      });
      const checkpoint = openCheckpoint(saved);
      const second = createTrainState(config, transport, checkpoint);
      expect(bits(second)).toEqual(bits(first));
      if (router === 'locmoe-plus') expect(checkpoint.has('layers.1.router.threshold')).toBe(true);
      for (; step <= 8; step++) {
        const [a, b] = [first, second].map((state) => trainStep(state, step, batch(step)).report);
        expect(b.loss).toBe(a.loss);
        expect(b.layers).toEqual(a.layers);
      }
      expect(bits(second)).toEqual(bits(first));
    });
  },
);
