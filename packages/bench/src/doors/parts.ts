import type { Part } from './part.js';

/**
 * The parts by name, in the order of measurement. Loaded when called for: some bring TensorFlow or a browser.
 */
export const PARTS: Readonly<Record<string, () => Promise<Part>>> = {
  prepare: async () => (await import('./prepare.js')).preparePart,
  generate: async () => (await import('./generate.js')).generatePart,
  api: async () => (await import('./api.js')).apiPart,
  onnx: async () => (await import('./onnx.js')).onnxPart,
  web: async () => (await import('./web.js')).webPart,
  package: async () => (await import('./package.js')).packagePart,
};
