import type { RunListItem } from '../api-types.js';

/**
 * A column by which runs are sorted: its heading, the value of a run, and whether it is ascending at first.
 */
interface SortColumn {
  readonly name: string;
  readonly value: (run: RunListItem) => string | number | null;
  readonly isAscending?: true;
}

export const SORTS = {
  date: { name: 'started', value: ({ startedAt }) => Date.parse(startedAt) },
  recipe: { name: 'recipe', value: ({ recipe }) => recipe, isAscending: true },
  layout: { name: 'layout', value: ({ layout }) => layout, isAscending: true },
  state: { name: 'state', value: ({ state }) => state, isAscending: true },
  step: { name: 'step', value: ({ step }) => step },
  took: { name: 'took', value: tookMs },
  loss: { name: 'loss', value: ({ loss }) => loss, isAscending: true },
} satisfies Readonly<Record<string, SortColumn>>;
export type Sort = keyof typeof SORTS;

/** Filter and order of the list of runs. */
export interface RunListView {
  /** Words that a run must contain, in any column. */
  readonly search: string;
  readonly sort: Sort;
  readonly isAscending: boolean;
}

/** Returns the matching runs, sorted; runs without a value come last. */
export function listed(
  runs: readonly RunListItem[],
  { search, sort, isAscending }: RunListView,
): RunListItem[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const { value: of }: SortColumn = SORTS[sort];
  return runs
    .filter((run) => words.every((word) => textOf(run).includes(word)))
    .map((run) => ({ run, value: of(run) }))
    .sort(({ value: a }, { value: b }) => {
      if (a === null || b === null) return Number(a === null) - Number(b === null);
      return (isAscending ? 1 : -1) * (a < b ? -1 : a > b ? 1 : 0);
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
