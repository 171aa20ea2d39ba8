import type { VariantId } from '../routers/variants.js';

/** What LocMoE+ (arXiv 2406.00023) reports after fine-tuning: top-1 routing in Mixtral 8x7B, in percent. */
export const PAPER_TASKS = [
  'GDAD-1',
  'GDAD-2',
  'GDAD-3',
  'GDAD average',
  'TeleQnA',
  'MMLU',
  'GPQA',
  'HumanEval',
] as const;
export type PaperTask = (typeof PAPER_TASKS)[number];

export const PAPER_SCORES: Partial<Readonly<Record<VariantId, readonly number[]>>> = {
  switch: [47.8, 43.0, 65.4, 52.8, 62.1, 71.8, 29.2, 40.2],
  'locmoe-plus-tcr': [55.5, 47.6, 71.1, 59.0, 67.6, 68.4, 30.3, 52.8],
  'locmoe-plus-ecr': [45.8, 45.6, 62.8, 56.3, 61.8, 45.8, 32.5, 57.6],
  'locmoe-plus': [57.4, 49.9, 74.5, 61.5, 68.8, 70.4, 33.5, 67.8],
};

/** The paper's names, which are of its own routers. */
export const PAPER_LABELS: Partial<Readonly<Record<VariantId, string>>> = {
  switch: 'baseline (top-1, capacity 1.1)',
  'locmoe-plus-tcr': 'token choice only',
  'locmoe-plus-ecr': 'expert choice only',
  'locmoe-plus': 'LocMoE+',
};

/** Share, as scores of ours are. */
export function paperScore(router: VariantId, task: PaperTask): number {
  return PAPER_SCORES[router]![PAPER_TASKS.indexOf(task)]! / 100;
}
