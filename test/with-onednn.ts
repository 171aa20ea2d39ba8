import { describe, it } from 'vitest';
import { usesOneDnn } from '../src/ops/kernels/choose-kernels.js';
import { skipLoudly } from './debian-tool.js';

/** Tests of what only oneDNN computes. Where it is missing one test says so in their place. */
export function withOneDnn(name: string, tests: () => void): void {
  if (usesOneDnn()) describe(name, tests);
  else it(name, ({ skip }) => skipLoudly(skip, `${name}: no oneDNN here; \`npm run setup\` says why`));
}
