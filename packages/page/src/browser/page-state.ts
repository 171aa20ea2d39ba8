/** The state of the page, kept in the fragment of its address so that a link restores it. */
export interface PageState {
  readonly view: 'overview' | 'logs' | 'timeline';
  /** Null for the newest run. */
  readonly run: string | null;
  /** Runs compared with it in the charts. */
  readonly overlays: readonly string[];
  readonly axis: 'step' | 'time';
  /** First and last step of the zoom; null for all. */
  readonly range: readonly [number, number] | null;
  /** Layer of the routing charts: a number or `all`. */
  readonly layer: string;
  /** LogQL; empty for all lines of the run. */
  readonly query: string;
  /** ms since 1970, or a duration before now such as `5m`; null for the whole run. */
  readonly from: string | null;
  readonly to: string | null;
  readonly order: 'newest' | 'oldest';
  readonly wrap: boolean;
  readonly dedup: 'none' | 'exact' | 'numbers' | 'signature';
  readonly columns: readonly string[];
  readonly live: boolean;
  /** Time in ns of the open line. */
  readonly line: string | null;
  /** Step of the timeline; null for the last that is kept. */
  readonly step: number | null;
  /** Whose step it is; null for the newest generation that has it. */
  readonly generation: number | null;
}

export const DEFAULTS: PageState = {
  view: 'overview',
  run: null,
  overlays: [],
  axis: 'step',
  range: null,
  layer: 'all',
  query: '',
  from: null,
  to: null,
  order: 'newest',
  wrap: true,
  dedup: 'none',
  columns: [],
  live: false,
  line: null,
  step: null,
  generation: null,
};

/** Parses a fragment; absent and invalid fields have their defaults. */
export function parseState(hash: string): PageState {
  const params = new URLSearchParams(hash.replace(/^#/, ''));
  const text = (name: string) => params.get(name) || null;
  const one = <T extends string>(name: string, values: readonly T[], otherwise: T): T =>
    values.find((value) => value === params.get(name)) ?? otherwise;
  const list = (name: string) => params.get(name)?.split(',').filter(Boolean) ?? [];
  const count = (name: string) => {
    const value = Number(params.get(name));
    return Number.isInteger(value) && value > 0 ? value : null;
  };
  const range = list('range').map(Number);
  return {
    view: one('view', ['overview', 'logs', 'timeline'], DEFAULTS.view),
    run: text('run'),
    overlays: list('with'),
    axis: one('axis', ['step', 'time'], DEFAULTS.axis),
    range:
      range.length === 2 && range.every(Number.isFinite) && range[0] < range[1] ? [range[0], range[1]] : null,
    layer: text('layer') ?? DEFAULTS.layer,
    query: params.get('query') ?? '',
    from: text('from'),
    to: text('to'),
    order: one('order', ['newest', 'oldest'], DEFAULTS.order),
    wrap: params.get('wrap') !== '0',
    dedup: one('dedup', ['none', 'exact', 'numbers', 'signature'], DEFAULTS.dedup),
    columns: list('columns'),
    live: params.get('live') === '1',
    line: text('line'),
    step: count('step'),
    generation: count('generation'),
  };
}

/** The inverse of `parseState`; omits defaults. */
export function formatState(state: PageState): string {
  const params = new URLSearchParams();
  const put = (name: string, value: string | null, isDefault = value === null) => {
    if (value !== null && !isDefault) params.set(name, value);
  };
  put('view', state.view, state.view === DEFAULTS.view);
  put('run', state.run);
  put('with', state.overlays.join(','), state.overlays.length === 0);
  put('axis', state.axis, state.axis === DEFAULTS.axis);
  put(
    'range',
    state.range === null ? null : state.range.map((step) => Number(step.toPrecision(7))).join(','),
  );
  put('layer', state.layer, state.layer === DEFAULTS.layer);
  put('query', state.query, state.query === '');
  put('from', state.from);
  put('to', state.to);
  put('order', state.order, state.order === DEFAULTS.order);
  put('wrap', '0', state.wrap);
  put('dedup', state.dedup, state.dedup === DEFAULTS.dedup);
  put('columns', state.columns.join(','), state.columns.length === 0);
  put('live', '1', !state.live);
  put('line', state.line);
  put('step', state.step === null ? null : String(state.step));
  put('generation', state.generation === null ? null : String(state.generation));
  return `#${params}`;
}
