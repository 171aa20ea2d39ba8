import { expect, it } from 'vitest';
import { type ErrorCode, exitCodeOf, TrainerError } from '../src/errors.js';

const codeOf = (code: ErrorCode, hasTrained = false) =>
  exitCodeOf(new TrainerError(code, 'it failed'), { hasTrained });

it.each<[ErrorCode, number, number]>([
  ['BAD_CONFIG', 2, 3],
  ['NO_RESOURCE', 2, 3],
  ['DISK_FULL', 2, 3],
  ['BAD_CHECKPOINT', 4, 4],
  ['INTERRUPTED', 130, 3],
  ['WORKER_DIED', 3, 3],
])('%s ends a command with %i, a run that has trained with %i', (code, before, after) => {
  expect(codeOf(code)).toBe(before);
  expect(codeOf(code, true)).toBe(after);
});

it('without an error only an interruption is told from the end', () => {
  expect(exitCodeOf(null)).toBe(0);
  expect(exitCodeOf(null, { isInterrupted: true })).toBe(130);
});
