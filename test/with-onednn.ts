import { describe, it } from 'vitest';
import { usesOneDnn, whyNoBfloat16 } from '../src/ops/kernels/choose-kernels.js';
import type { ElementType } from '../src/ops/kernels/onednn/tensor-memory.js';
import { skipLoudly } from './debian-tool.js';

/** Runs tests of what only oneDNN computes. Without oneDNN a single test reports that they are skipped. */
export function withOneDnn(name: string, tests: () => void): void {
  if (usesOneDnn()) describe(name, tests);
  else it(name, ({ skip }) => skipLoudly(skip, `${name}: no oneDNN here; \`npm run setup\` says why`));
}

/** Runs tests of bfloat16. Where it is unavailable a single test reports that they are skipped. */
export function withBfloat16(name: string, tests: () => void): void {
  const why = whyNoBfloat16();
  if (why === null) describe(name, tests);
  else it(name, ({ skip }) => skipLoudly(skip, `${name}: ${why}`));
}

/** Runs tests of oneDNN in each available element type. */
export function inEachType(name: string, tests: (type: ElementType) => void): void {
  withOneDnn(`${name} in float32`, () => tests('float32'));
  withBfloat16(`${name} in bfloat16`, () => tests('bfloat16'));
}
