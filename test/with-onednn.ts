import { describe, it } from 'vitest';
import { usesOneDnn, whyNoBfloat16 } from '../src/ops/kernels/choose-kernels.js';
import type { ElementType } from '../src/ops/kernels/onednn/tensor-memory.js';
import { skipLoudly } from './debian-tool.js';

/** Tests of what only oneDNN computes. Where it is missing one test says so in their place. */
export function withOneDnn(name: string, tests: () => void): void {
  if (usesOneDnn()) describe(name, tests);
  else it(name, ({ skip }) => skipLoudly(skip, `${name}: no oneDNN here; \`npm run setup\` says why`));
}

/** Tests of what is computed in bfloat16. Where that cannot be had one test says so in their place. */
export function withBfloat16(name: string, tests: () => void): void {
  const why = whyNoBfloat16();
  if (why === null) describe(name, tests);
  else it(name, ({ skip }) => skipLoudly(skip, `${name}: ${why}`));
}

/** Tests of what oneDNN computes, in each type that it can be had in. */
export function inEachType(name: string, tests: (type: ElementType) => void): void {
  withOneDnn(`${name} in float32`, () => tests('float32'));
  withBfloat16(`${name} in bfloat16`, () => tests('bfloat16'));
}
