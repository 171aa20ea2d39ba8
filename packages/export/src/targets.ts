import { huggingface } from './huggingface/huggingface.js';
import { onnx } from './onnx/onnx.js';
import type { ExportTarget } from './target.js';
import { web } from './web/web.js';

/** The targets of `locmoe export --to`, by name. */
export const TARGETS: Readonly<Record<string, ExportTarget>> = { onnx, huggingface, web };
