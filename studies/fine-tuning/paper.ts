import type { VariantId } from '../../packages/bench/src/routers/variants.js';

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

/** By the router of ours that stands for it; labels are the paper's names, which are of its own routers. */
export const PAPER: Partial<
  Readonly<Record<VariantId, { readonly label: string; readonly scores: readonly number[] }>>
> = {
  switch: {
    label: 'baseline (top-1, capacity 1.1)',
    scores: [47.8, 43.0, 65.4, 52.8, 62.1, 71.8, 29.2, 40.2],
  },
  'locmoe-plus-tcr': {
    label: 'token choice only',
    scores: [55.5, 47.6, 71.1, 59.0, 67.6, 68.4, 30.3, 52.8],
  },
  'locmoe-plus-ecr': {
    label: 'expert choice only',
    scores: [45.8, 45.6, 62.8, 56.3, 61.8, 45.8, 32.5, 57.6],
  },
  'locmoe-plus': { label: 'LocMoE+', scores: [57.4, 49.9, 74.5, 61.5, 68.8, 70.4, 33.5, 67.8] },
};

/** A share, as scores of ours are. */
export function paperScore(router: VariantId, task: (typeof PAPER_TASKS)[number]): number {
  return PAPER[router]!.scores[PAPER_TASKS.indexOf(task)]! / 100;
}
