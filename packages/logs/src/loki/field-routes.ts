import type { Hono } from 'hono';
import { extractJson } from '../logql/json-fields.js';
import type { LogEngine } from '../logql/log-engine.js';
import { take } from '../logql/log-entries.js';
import { compileLogfmt } from '../logql/logfmt-fields.js';
import { parseLogQuery } from '../logql/parse.js';
import { PipelineLine } from '../logql/pipeline-line.js';
import { parseBytes, parseDurationS } from '../logql/units.js';
import type { RequestGate } from './gate.js';
import type { Parameters } from './parameters.js';

const DEFAULT_LINES = 100;
const MAX_LINES = 5_000;
const MAX_FIELDS = 1_000;
const NO_LABELS = new Map<string, string>();
const extractLogfmt = compileLogfmt({ extractions: [], strict: false, keepEmpty: false });

interface Field {
  readonly values: Set<string>;
  readonly parser: 'json' | 'logfmt';
}

/** `detected_fields` and `detected_field/NAME/values`, from the newest lines of a query. */
export function addFieldRoutes(routes: Hono, engine: LogEngine, gate: RequestGate): void {
  routes.on(
    ['GET', 'POST'],
    '/loki/api/v1/detected_fields',
    gate.json(async (parameters, signal) => {
      const limit = parameters.wholeNumber('limit', MAX_FIELDS, MAX_LINES);
      const fields = [...(await detect(engine, parameters, signal))].slice(0, limit);
      return {
        fields: fields.map(([label, { values, parser }]) => ({
          label,
          type: typeOf(values),
          cardinality: values.size,
          parsers: [parser],
        })),
        limit,
      };
    }),
  );
  routes.on(
    ['GET', 'POST'],
    '/loki/api/v1/detected_field/:name/values',
    gate.json(async (parameters, signal, c) => {
      const limit = parameters.wholeNumber('limit', MAX_FIELDS, MAX_LINES);
      const field = (await detect(engine, parameters, signal)).get(c.req.param('name') ?? '');
      return { values: [...(field?.values ?? [])].slice(0, limit), limit };
    }),
  );
}

async function detect(
  engine: LogEngine,
  parameters: Parameters,
  signal: AbortSignal,
): Promise<Map<string, Field>> {
  const query = parseLogQuery(parameters.query);
  const numLines = parameters.wholeNumber('line_limit', DEFAULT_LINES, MAX_LINES);
  const entries = await take(engine.lines(query, parameters.range, 'backward', { signal }), numLines);
  const fields = new Map<string, Field>();
  for (const entry of entries) {
    const { text } = entry;
    const line = new PipelineLine(text, NO_LABELS, entry);
    const parser = text.startsWith('{') ? 'json' : 'logfmt';
    if (parser === 'json') extractJson(line);
    else extractLogfmt(line);
    for (const [name, value] of line.labels) {
      if (name.startsWith('__')) continue;
      const field = fields.get(name) ?? { values: new Set(), parser };
      if (fields.size >= MAX_FIELDS && !fields.has(name)) continue;
      field.values.add(value);
      fields.set(name, field);
    }
  }
  return fields;
}

const TYPES: readonly (readonly [string, (text: string) => boolean])[] = [
  ['int', (text) => /^-?\d+$/.test(text)],
  ['float', (text) => text !== '' && Number.isFinite(Number(text))],
  ['boolean', (text) => text === 'true' || text === 'false'],
  ['duration', (text) => !Number.isNaN(parseDurationS(text))],
  ['bytes', (text) => !Number.isNaN(parseBytes(text))],
];

/** The first type that fits all values. */
function typeOf(values: ReadonlySet<string>): string {
  return TYPES.find(([, is]) => [...values].every(is))?.[0] ?? 'string';
}
