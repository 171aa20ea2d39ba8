/** A field of the state, and its texts in the address. */
interface Field<T> {
  readonly initial: T;
  /** Parses the texts; undefined if they are invalid. */
  readonly parse: (text: string, texts: readonly string[]) => T | undefined;
  /** Texts of a value that is not `initial`. */
  readonly format: (value: T) => string | readonly string[];
}

const oneOf = <T extends string>(initial: T, ...others: readonly T[]): Field<T> => ({
  initial,
  parse: (text) => [initial, ...others].find((value) => value === text),
  format: (value) => value,
});
const text = <T extends string | null>(initial: T): Field<string | T> => ({
  initial,
  parse: (each) => each || undefined,
  format: (value) => value ?? '',
});
const flag = (initial: boolean): Field<boolean> => ({
  initial,
  parse: (each) => (each === '1' ? true : each === '0' ? false : undefined),
  format: (value) => (value ? '1' : '0'),
});
/** Makes a field that has one of the values, or null. */
const optional = <T extends string>(...values: readonly T[]): Field<T | null> => ({
  initial: null,
  parse: (each) => values.find((value) => value === each),
  format: String,
});
const split = (each: string) => each.split(',').filter(Boolean);
const LIST: Field<readonly string[]> = { initial: [], parse: split, format: (value) => value.join(',') };
/** Each text is a separate parameter, as it may contain a comma. */
const TEXTS: Field<readonly string[]> = { initial: [], parse: (_, texts) => texts, format: (value) => value };
/** An empty list differs from the initial value, so it is written as `none`. */
const OPTIONAL_LIST: Field<readonly string[] | null> = {
  initial: null,
  parse: (each) => split(each).filter((name) => name !== 'none'),
  format: (value) => value?.join(',') || 'none',
};
const COUNT: Field<number | null> = {
  initial: null,
  parse: (each) => (/^0*[1-9]\d*$/.test(each) ? Number(each) : undefined),
  format: String,
};
/** An index from 0. */
const INDEX: Field<number | null> = {
  initial: null,
  parse: (each) => (/^\d{1,9}$/.test(each) ? Number(each) : undefined),
  format: String,
};
/** An expert of a layer, as `layer.expert`. */
const EXPERT: Field<string | null> = {
  initial: null,
  parse: (each) => (/^\d{1,9}\.\d{1,9}$/.test(each) ? each : undefined),
  format: String,
};
const RANGE: Field<readonly [number, number] | null> = {
  initial: null,
  parse(each) {
    const [from = Number.NaN, to = Number.NaN, ...rest] = split(each).map(Number);
    return Number.isFinite(to - from) && from < to && rest.length === 0 ? [from, to] : undefined;
  },
  format: (value) => (value ?? []).map((step) => Number(step.toPrecision(7))).join(','),
};

/** The state of the page, kept in the fragment of its address so that a link restores it. */
const FIELDS = {
  view: oneOf('overview', 'logs', 'timeline', 'details', 'routing'),
  /** Id of the shown run; null for the newest run. */
  run: text(null),
  /** Runs compared with `run` in the charts. */
  overlays: LIST,
  /** The quantity on the x axis of the charts. */
  axis: oneOf('step', 'time', 'tokens'),
  /** First and last step of the zoom; null for all. */
  range: RANGE,
  /** The step whose record is shown beside the charts; null for none. */
  record: COUNT,
  /** Layer of the routing charts and of the routing view: a number or `all`. */
  layer: text('all'),
  /** Smoothing of lines. */
  smooth: oneOf('off', 'light', 'medium', 'strong'),
  /** Lines that legends hide, as `chart:label`. */
  hidden: TEXTS,
  /** The quantity that expert load shows. */
  load: oneOf('demand', 'kept', 'dropped'),
  /** Whether lone outliers set the scale of a chart. */
  outliers: flag(false),
  /** Charts with a logarithmic scale, by their ids. */
  log: LIST,
  /** The enlarged chart; null for all. */
  chart: text(null),
  /** Layers whose experts are shown, and nodes whose ranks are shown; null for as many as are easily read. */
  openLayers: OPTIONAL_LIST,
  openNodes: OPTIONAL_LIST,
  /** LogQL; empty for all lines of the run. */
  query: text(''),
  /** ms since 1970, or a duration before now such as `5m`; null for the whole run. */
  from: text(null),
  to: text(null),
  /** The tab of the log that is shown. */
  tab: oneOf('lines', 'patterns'),
  order: oneOf('newest', 'oldest'),
  wrap: flag(true),
  dedup: oneOf('none', 'exact', 'numbers', 'signature'),
  columns: LIST,
  live: flag(false),
  /** Time in ns of the open line. */
  line: text(null),
  /** The card that the details scroll to; null for none. */
  card: optional('flight'),
  /** Step of the timeline; null for the last that is kept. */
  step: COUNT,
  /** Generation of the step; null for the newest one that has it. */
  generation: COUNT,
  /** Step whose recorded routes are shown; null for the newest. */
  recorded: COUNT,
  /** Sequence of that step; null for the first. */
  sequence: INDEX,
  /** Token of that sequence whose path is shown; null for none. */
  token: INDEX,
  /** Expert whose tokens are shown; null for none. */
  expert: EXPERT,
};

export type PageState = {
  readonly [K in keyof typeof FIELDS]: (typeof FIELDS)[K] extends Field<infer T> ? T : never;
};

/** Parameters whose names differ from those of their fields. */
const NAMES: Readonly<Record<string, string>> = {
  overlays: 'with',
  hidden: 'hide',
  openLayers: 'layers',
  openNodes: 'nodes',
};
const ALL = Object.entries(FIELDS as Readonly<Record<string, Field<unknown>>>).map(
  ([key, field]) => [key, NAMES[key] ?? key, field] as const,
);

/** Parses a fragment; absent and invalid fields have their initial values. */
export function parseState(hash: string): PageState {
  const params = new URLSearchParams(hash.replace(/^#/, ''));
  const entries = ALL.map(([key, name, { initial, parse }]) => {
    const [first, ...rest] = params.getAll(name);
    return [key, first === undefined ? initial : (parse(first, [first, ...rest]) ?? initial)];
  });
  return Object.fromEntries(entries);
}

export const DEFAULTS = parseState('');

/** Formats a state as a fragment; the inverse of `parseState`. Initial values are omitted. */
export function formatState(state: PageState): string {
  const params = new URLSearchParams();
  for (const [key, name, { initial, format }] of ALL) {
    const value: unknown = state[key as keyof PageState];
    if (JSON.stringify(value) === JSON.stringify(initial)) continue;
    for (const each of [format(value)].flat()) params.append(name, each);
  }
  return `#${params}`;
}

/** Returns a list with an item, or without it if it was there. */
export function toggled(list: readonly string[], item: string): string[] {
  return list.includes(item) ? list.filter((each) => each !== item) : [...list, item];
}

/** Returns the fields of a time range in ms since 1970; null for the whole run. */
export function rangeState(range: readonly [number, number] | null): Pick<PageState, 'from' | 'to'> {
  if (range === null) return { from: null, to: null };
  return { from: String(Math.floor(range[0])), to: String(Math.ceil(range[1])) };
}
