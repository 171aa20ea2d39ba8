import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { globalStep, skippedStep } from '../../../packages/run-format/test/global-step.js';
import { createLogger } from '../../../src/logger.js';
import { TensorboardExport } from '../../../src/metrics/tensorboard/tensorboard-export.js';
import { type DecodedEvent, readEvents } from './event-decoder.js';

const RUN = { ranks: [], steps: 9, tokensPerS: 0, secondsLeft: 0, speeds: [] };

describe('what is exported for TensorBoard', () => {
  let directory: string;
  let board: TensorboardExport;

  beforeEach(() => {
    vi.useFakeTimers();
    directory = mkdtempSync(path.join(tmpdir(), 'locmoe-tensorboard-'));
    const logger = createLogger({
      level: 'info',
      origin: { run: 'r', generation: 1 },
      destination: { write: () => undefined },
    });
    board = new TensorboardExport({ directory, runId: 'r', resumedFrom: 40, logger });
  });
  afterEach(() => {
    board.close();
    vi.useRealTimers();
    rmSync(directory, { recursive: true });
  });

  /** The written events without the first, which holds the version. */
  const written = (): DecodedEvent[] => {
    const folder = path.join(directory, 'r');
    return readEvents(path.join(folder, readdirSync(folder)[0])).slice(1);
  };
  const stepsWritten = () => written().map(({ step }) => step);

  it('has no loss at a step that was skipped, but its time', () => {
    board.step(globalStep(1), RUN);
    board.step(skippedStep(2), RUN);
    board.close();
    const [first, second] = written();
    const losses = ['train/loss', 'train/auxiliary_loss', 'train/gradient_norm'];
    expect(first.scalars).toMatchObject({ 'train/loss': 10, 'speed/step_ms': 20 });
    expect(second).toMatchObject({ step: 2, scalars: { 'speed/step_ms': 20 } });
    expect(Object.keys(second.scalars)).toEqual(
      Object.keys(first.scalars).filter(
        (name) => !losses.includes(name) && !/^(routing|locality|imbalance\/load)/.test(name),
      ),
    );
  });

  it('is written once a second, each event with its own time', () => {
    const begunMs = Date.now();
    board.step(globalStep(1), RUN);
    vi.advanceTimersByTime(600);
    board.step(globalStep(2), RUN);
    board.validation({ step: 2, domains: [{ domain: 'en', loss: 3, tokens: 8 }] });
    expect(written()).toEqual([]);
    vi.advanceTimersByTime(400);
    expect(written().map(({ step, wallTime }) => [step, Math.round(1000 * wallTime) - begunMs])).toEqual([
      [1, 0],
      [2, 600],
      [2, 600],
    ]);
    expect(written()[2].scalars).toEqual({ 'validation/loss': 3, 'validation/loss_en': 3 });
    board.step(globalStep(3), RUN);
    vi.advanceTimersByTime(1_000);
    expect(stepsWritten()).toEqual([1, 2, 2, 3]);
  });

  it('is written before anything that may come of a checkpoint or a failure', () => {
    board.state({ kind: 'running' });
    expect(written()).toMatchObject([{ session: 1, step: 41 }]);
    board.step(globalStep(41), RUN);
    board.checkpoint();
    expect(stepsWritten()).toEqual([41, 41]);
    board.step(globalStep(42), RUN);
    board.state({ kind: 'stopping', reason: 'x', cause: null });
    expect(stepsWritten()).toEqual([41, 41, 42]);
  });
});
