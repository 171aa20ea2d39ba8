export const VIEWS = ['overview', 'logs', 'timeline', 'details'] as const;

/** The quantity on the x axis of the charts. */
export const AXES = ['step', 'time', 'tokens'] as const;

/** The quantity that expert load shows. */
export const LOADS = ['demand', 'kept', 'dropped'] as const;

/** The state of the page, kept in the fragment of its address so that a link restores it. */
export interface PageState {
  readonly view: (typeof VIEWS)[number];
  /** Null for the newest run. */
  readonly run: string | null;
  /** Runs compared with it in the charts. */
  readonly overlays: readonly string[];
  readonly axis: (typeof AXES)[number];
  /** First and last step of the zoom; null for all. */
  readonly range: readonly [number, number] | null;
  /** The step whose record is shown beside the charts; null for none. */
  readonly record: number | null;
  /** Layer of the routing charts: a number or `all`. */
  readonly layer: string;
  /** Smoothing of lines. */
  readonly smooth: 'off' | 'light' | 'medium' | 'strong';
  /** Lines that legends hide, as `chart:label`. */
  readonly hidden: readonly string[];
  readonly load: (typeof LOADS)[number];
  /** Whether lone outliers set the scale of a chart. */
  readonly outliers: boolean;
  /** Charts with a logarithmic scale, by their ids. */
  readonly log: readonly string[];
  /** The enlarged chart; null for all. */
  readonly chart: string | null;
  /** Layers whose experts are shown, and nodes whose ranks; null for as many as are easily read. */
  readonly openLayers: readonly string[] | null;
  readonly openNodes: readonly string[] | null;
  /** LogQL; empty for all lines of the run. */
  readonly query: string;
  /** ms since 1970, or a duration before now such as `5m`; null for the whole run. */
  readonly from: string | null;
  readonly to: string | null;
  /** The tab of the log that is shown. */
  readonly tab: 'lines' | 'patterns';
  readonly order: 'newest' | 'oldest';
  readonly wrap: boolean;
  readonly dedup: 'none' | 'exact' | 'numbers' | 'signature';
  readonly columns: readonly string[];
  readonly live: boolean;
  /** Time in ns of the open line. */
  readonly line: string | null;
  /** The card that the details scroll to; null for none. */
  readonly card: 'flight' | null;
  /** Step of the timeline; null for the last that is kept. */
  readonly step: number | null;
  /** Generation of the step; null for the newest one that has it. */
  readonly generation: number | null;
}

export const DEFAULTS: PageState = {
  view: 'overview',
  run: null,
  overlays: [],
  axis: 'step',
  range: null,
  record: null,
  layer: 'all',
  smooth: 'off',
  hidden: [],
  load: 'demand',
  outliers: false,
  log: [],
  chart: null,
  openLayers: null,
  openNodes: null,
  query: '',
  from: null,
  to: null,
  tab: 'lines',
  order: 'newest',
  wrap: true,
  dedup: 'none',
  columns: [],
  live: false,
  line: null,
  card: null,
  step: null,
  generation: null,
};

const NONE = 'none';

/** Parses a fragment; absent and invalid fields have their defaults. */
export function parseState(hash: string): PageState {
  const params = new URLSearchParams(hash.replace(/^#/, ''));
  const text = (name: string) => params.get(name) || null;
  const one = <T extends string>(name: string, values: readonly T[], otherwise: T): T =>
    values.find((value) => value === params.get(name)) ?? otherwise;
  const list = (name: string) => params.get(name)?.split(',').filter(Boolean) ?? [];
  /** An empty list is not the default, so it has a name. */
  const optionalList = (name: string) =>
    params.has(name) ? list(name).filter((each) => each !== NONE) : null;
  const count = (name: string) => {
    const value = Number(params.get(name));
    return Number.isInteger(value) && value > 0 ? value : null;
  };
  const range = list('range').map(Number);
  return {
    view: one('view', VIEWS, DEFAULTS.view),
    run: text('run'),
    overlays: list('with'),
    axis: one('axis', AXES, DEFAULTS.axis),
    range:
      range.length === 2 && range.every(Number.isFinite) && range[0]! < range[1]!
        ? [range[0]!, range[1]!]
        : null,
    record: count('record'),
    layer: text('layer') ?? DEFAULTS.layer,
    smooth: one('smooth', ['off', 'light', 'medium', 'strong'], DEFAULTS.smooth),
    hidden: params.getAll('hide'),
    load: one('load', LOADS, DEFAULTS.load),
    outliers: params.get('outliers') === '1',
    log: list('log'),
    chart: text('chart'),
    openLayers: optionalList('layers'),
    openNodes: optionalList('nodes'),
    query: params.get('query') ?? '',
    from: text('from'),
    to: text('to'),
    tab: one('tab', ['lines', 'patterns'], DEFAULTS.tab),
    order: one('order', ['newest', 'oldest'], DEFAULTS.order),
    wrap: params.get('wrap') !== '0',
    dedup: one('dedup', ['none', 'exact', 'numbers', 'signature'], DEFAULTS.dedup),
    columns: list('columns'),
    live: params.get('live') === '1',
    line: text('line'),
    card: params.get('card') === 'flight' ? 'flight' : null,
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
  put('record', state.record === null ? null : String(state.record));
  put('layer', state.layer, state.layer === DEFAULTS.layer);
  put('smooth', state.smooth, state.smooth === DEFAULTS.smooth);
  // One each: a label may have a comma.
  for (const each of state.hidden) params.append('hide', each);
  put('load', state.load, state.load === DEFAULTS.load);
  put('outliers', '1', !state.outliers);
  put('log', state.log.join(','), state.log.length === 0);
  put('chart', state.chart);
  put('layers', state.openLayers && (state.openLayers.join(',') || NONE));
  put('nodes', state.openNodes && (state.openNodes.join(',') || NONE));
  put('query', state.query, state.query === '');
  put('from', state.from);
  put('to', state.to);
  put('tab', state.tab, state.tab === DEFAULTS.tab);
  put('order', state.order, state.order === DEFAULTS.order);
  put('wrap', '0', state.wrap);
  put('dedup', state.dedup, state.dedup === DEFAULTS.dedup);
  put('columns', state.columns.join(','), state.columns.length === 0);
  put('live', '1', !state.live);
  put('line', state.line);
  put('card', state.card);
  put('step', state.step === null ? null : String(state.step));
  put('generation', state.generation === null ? null : String(state.generation));
  return `#${params}`;
}
