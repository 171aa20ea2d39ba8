import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { createLogger } from '../../../src/logger.js';
import { TensorboardExport } from '../../../src/metrics/tensorboard/tensorboard-export.js';
import { globalStep, skippedStep } from '../../run/global-step.js';
import { readEvents } from './event-decoder.js';

it('has no loss at a step that was skipped, but its time', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'locmoe-tensorboard-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const logger = createLogger({
    level: 'info',
    origin: { run: 'r', generation: 1 },
    destination: { write: () => undefined },
  });
  const board = new TensorboardExport({ directory, runId: 'r', resumedFrom: null, logger });
  const run = { ranks: [], steps: 9, tokensPerS: 0, secondsLeft: 0, speeds: [] };
  board.step(globalStep(1), run);
  board.step(skippedStep(2), run);
  board.close();
  const folder = path.join(directory, 'r');
  const [, first, second] = readEvents(path.join(folder, readdirSync(folder)[0]));
  const losses = ['train/loss', 'train/auxiliary_loss', 'train/gradient_norm'];
  expect(first.scalars).toMatchObject({ 'train/loss': 10, 'speed/step_ms': 20 });
  expect(second).toMatchObject({ step: 2, scalars: { 'speed/step_ms': 20 } });
  expect(Object.keys(second.scalars)).toEqual(
    Object.keys(first.scalars).filter((name) => !losses.includes(name) && !/^(routing|locality)/.test(name)),
  );
});
