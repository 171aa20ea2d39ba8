import type { ProbeData } from 'locmoe/internal/evaluation/routes/probe-data';

const REQUIRED = ['step', 'token', 'layer', 'expert'] as const;
const NUMBERS = [...REQUIRED, 'sequence', 'position'] as const;
/** One cell and what ends it. */
const CELL = /("[^"]*(?:""[^"]*)*"|[^",\r\n]*)(,|\r?\n|$)/y;
/** Each expert has a colour. */
const MAX_EXPERT = 9999;

type Row = Readonly<Record<string, string>> & { readonly line: string };

/**
 * Parses routes of any program: CSV of RFC 4180 with the columns of docs/routes.md ("Others' routes") and any others.
 *
 * @throws Error with the file and the number of the line that cannot be used
 */
export function parseRoutes(csv: string, name: string): ProbeData {
  const steps = new Set<number>();
  const layers = new Set<number>();
  const texts = new Map<string, { domain: string; sequence: number; tokens: Map<number, Row> }>();
  const chosen = new Map<string, string>();
  let numExperts = 0;
  for (const row of rowsOf(csv, name)) {
    const numbers = NUMBERS.map((column) => {
      const value = row[column];
      if (value !== undefined && !/^\d{1,9}$/.test(value))
        throw new Error(`${row.line}: ${column} is "${value}"; give a whole number from 0`);
      return Number(value ?? 0);
    });
    const [step = 0, token = 0, layer = 0, expert = 0, sequence = 0, position = 0] = numbers;
    if (expert > MAX_EXPERT)
      throw new Error(`${row.line}: expert is ${expert}; ${MAX_EXPERT} is the highest`);
    const place = row.position === undefined ? token : position;
    const text = texts.get(`${sequence}`) ?? { domain: row.domain ?? 'text', sequence, tokens: new Map() };
    texts.set(`${sequence}`, text);
    const known = text.tokens.get(place) ?? row;
    text.tokens.set(place, known);
    if (known.token !== row.token)
      throw new Error(
        `${row.line}: token is ${row.token}, and ${known.token} at an earlier line of the same place`,
      );
    steps.add(step);
    layers.add(layer);
    if (row.outcome !== undefined && row.outcome !== 'kept') continue;
    numExperts = Math.max(numExperts, expert + 1);
    const key = `${step} ${layer} ${sequence} ${place}`;
    const before = chosen.get(key);
    chosen.set(key, before === undefined ? `${expert}` : `${before},${expert}`);
  }
  if (steps.size === 0)
    throw new Error(`${name}: has no routes; it needs the columns ${REQUIRED.join(', ')}`);
  const rising = (values: Iterable<number>) => [...values].sort((a, b) => a - b);
  const inOrder = [...texts.values()]
    .sort((a, b) => a.sequence - b.sequence)
    .map((text) => ({ ...text, places: rising(text.tokens.keys()) }));
  const sparse = rising(layers);
  return {
    name,
    numExperts,
    expertsOfDomain: {},
    layers: sparse,
    steps: rising(steps),
    texts: inOrder.map(({ domain, tokens, places }) => {
      const rows = places.map((place) => tokens.get(place)!);
      const hasText = rows.every(({ text }) => text !== undefined);
      return {
        domain,
        ids: rows.map(({ token }) => Number(token)),
        text: hasText ? rows.map(({ text }) => text!) : null,
      };
    }),
    experts: rising(steps).map((step) =>
      sparse.map((layer) =>
        inOrder
          .flatMap(({ sequence, places }) =>
            places.map((place) => chosen.get(`${step} ${layer} ${sequence} ${place}`) ?? ''),
          )
          .join(' '),
      ),
    ),
  };
}

/** Yields the rows by the names in the first one. */
function* rowsOf(csv: string, name: string): Generator<Row> {
  if (csv.startsWith('PAR1'))
    throw new Error(`${name}: is Parquet; make it CSV: duckdb -c "COPY '${name}' TO 'routes.csv'"`);
  const whole = csv.replace(/^\uFEFF/, '');
  let [columns, cells, line, first] = [[] as string[], [] as string[], 1, 1];
  CELL.lastIndex = 0;
  while (CELL.lastIndex < whole.length || cells.length > 0) {
    const [all = '', cell = '', end = ''] = CELL.exec(whole) ?? [];
    const about = `${name}, line ${first}`;
    if (all === '' && CELL.lastIndex < whole.length)
      throw new Error(`${about}: a quotation mark is out of place`);
    cells.push(cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell);
    line += all.split('\n').length - 1;
    if (end === ',') continue;
    if (columns.length === 0) {
      columns = cells;
      const missing = REQUIRED.find((column) => !columns.includes(column));
      if (missing !== undefined)
        throw new Error(`${about}: has no column ${missing}; it needs ${REQUIRED.join(', ')}`);
    } else if (cells.length !== columns.length && cells.join('') !== '')
      throw new Error(`${about}: has ${cells.length} cells, and the first line ${columns.length}`);
    else if (cells.join('') !== '')
      yield { ...Object.fromEntries(columns.map((column, at) => [column, cells[at]!])), line: about };
    [cells, first] = [[], line];
  }
}
