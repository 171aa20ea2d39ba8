import { huggingface } from './huggingface/huggingface.js';
import { onnxTarget } from './onnx/target.js';
import type { ExportTarget } from './target.js';

/** The targets of `locmoe export --to`, by name. */
export const TARGETS: Readonly<Record<string, ExportTarget>> = { onnx: onnxTarget, huggingface };
