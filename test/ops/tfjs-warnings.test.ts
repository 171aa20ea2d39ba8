import { setImmediate } from 'node:timers/promises';
import { deprecate } from 'node:util';
import { expect, it, onTestFinished } from 'vitest';
import '../../src/ops/node-backend.js';

it('what Node deprecates in tfjs-node is not told, and every other warning is', async () => {
  const codes: unknown[] = [];
  const onWarning = (warning: Error & { code?: string }) => codes.push(warning.code ?? warning.message);
  process.on('warning', onWarning);
  onTestFinished(() => {
    process.off('warning', onWarning);
  });
  for (const code of ['DEP0044', 'DEP0051', 'DEP9999']) deprecate(() => undefined, 'old', code)();
  process.emitWarning('plain');
  process.emitWarning('with options', { type: 'Test', code: 'T1' });
  await setImmediate();
  expect(codes).toEqual(['DEP9999', 'plain', 'T1']);
});
