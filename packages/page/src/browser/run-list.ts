import type { RunListItem } from '../api-types.js';

export const SORTS = ['date', 'recipe', 'layout', 'state', 'step', 'took', 'loss'] as const;
export type Sort = (typeof SORTS)[number];

/** Filter and order of the list of runs. */
export interface RunListView {
  /** Words; a run must have each somewhere. */
  readonly search: string;
  readonly sort: Sort;
  readonly isAscending: boolean;
}

/** The order in which a column is sorted first. */
export function isAscendingFirst(sort: Sort): boolean {
  return ['recipe', 'layout', 'state', 'loss'].includes(sort);
}

/** The runs that match, sorted; those without a value come last. */
export function listed(
  runs: readonly RunListItem[],
  { search, sort, isAscending }: RunListView,
): RunListItem[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const direction = isAscending ? 1 : -1;
  return runs
    .filter((run) => words.every((word) => textOf(run).includes(word)))
    .map((run, index) => ({ run, index, value: sortedBy(run, sort) }))
    .sort((a, b) => {
      if (a.value === null || b.value === null)
        return Number(a.value === null) - Number(b.value === null) || a.index - b.index;
      const order = a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
      return order === 0 ? a.index - b.index : direction * order;
    })
    .map(({ run }) => run);
}

/** Returns the time from first start to end, with pauses; null for a live run. */
export function tookMs({ startedAt, endedAt }: Pick<RunListItem, 'startedAt' | 'endedAt'>): number | null {
  return endedAt === null ? null : Math.max(0, endedAt - Date.parse(startedAt));
}

function textOf({ runId, recipe, router, layout, state, startedAt }: RunListItem): string {
  return [runId, recipe, router, layout, state, startedAt].join(' ').toLowerCase();
}

function sortedBy(run: RunListItem, sort: Sort): string | number | null {
  switch (sort) {
    case 'date':
      return Date.parse(run.startedAt);
    case 'took':
      return tookMs(run);
    default:
      return run[sort];
  }
}
