import { expect, it } from 'vitest';
import { type PrepareProgress, ProgressMeter } from '../../src/data/prepare/progress-meter.js';

it('takes the speed from what it did itself, and the time left from that', () => {
  let nowMs = 5000;
  let last: PrepareProgress | undefined;
  const meter = new ProgressMeter(
    (progress) => {
      last = progress;
    },
    () => nowMs,
  );
  meter.begin(1000);
  meter.add(400, true);
  expect(last).toEqual({ doneBytes: 400, totalBytes: 1000, bytesPerS: 0, secondsLeft: null });
  nowMs += 2000;
  meter.add(200, false);
  expect(last).toEqual({ doneBytes: 600, totalBytes: 1000, bytesPerS: 100, secondsLeft: 4 });
});
