import { huggingface } from './huggingface/huggingface.js';
import type { ExportTarget } from './target.js';

/** The targets of `locmoe export --to`, by name. */
export const TARGETS: Readonly<Record<string, ExportTarget>> = { huggingface };
