import { describe, it } from 'vitest';
import { skipLoudly } from './debian-tool.js';
import { HAS_WEBGPU } from './has-webgpu.js';

/** Runs tests of what a graphics device computes. Without one a single test reports that they are skipped. */
export function withWebGpu(name: string, tests: () => void): void {
  if (HAS_WEBGPU) describe(name, tests);
  else
    it(name, ({ skip }) =>
      skipLoudly(skip, `${name}: no WebGPU here; \`node scripts/webgpu.mjs --with-software-vulkan\``),
    );
}
