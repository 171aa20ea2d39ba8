import type { Hono } from 'hono';
import { extractJson } from '../logql/json-fields.js';
import type { LogEngine } from '../logql/log-engine.js';
import { type LogEntry, splitLabels, take } from '../logql/log-entries.js';
import { compileLogfmt } from '../logql/logfmt-fields.js';
import { parseLogQuery } from '../logql/parse.js';
import { PipelineLine } from '../logql/pipeline-line.js';
import { parseBytes, parseDurationS } from '../logql/units.js';
import type { LokiRequest, RequestGate } from './gate.js';

const DEFAULT_LINES = 100;
const MAX_LINES = 5_000;
const MAX_FIELDS = 1_000;
const extractLogfmt = compileLogfmt({ extractions: [], strict: false, keepEmpty: false });

type Parser = 'json' | 'logfmt';

interface Field {
  readonly values: Set<string>;
  /** Stages that extract the field; empty for structured metadata. */
  readonly parsers: Set<Parser>;
}

/** Adds `detected_fields` and `detected_field/NAME/values`, which read the newest lines of a query. */
export function addFieldRoutes(routes: Hono, engine: LogEngine, gate: RequestGate): void {
  routes.on(
    ['GET', 'POST'],
    '/loki/api/v1/detected_fields',
    gate.json(async (request) => {
      const limit = request.parameters.wholeNumber('limit', MAX_FIELDS, MAX_LINES);
      const fields = [...(await detect(engine, request))].slice(0, limit);
      return {
        fields: fields.map(([label, { values, parsers }]) => ({
          label,
          type: typeOf(values),
          cardinality: values.size,
          parsers: parsers.size === 0 ? null : [...parsers],
        })),
        limit,
      };
    }),
  );
  routes.on(
    ['GET', 'POST'],
    '/loki/api/v1/detected_field/:name/values',
    gate.json(async (request) => {
      const limit = request.parameters.wholeNumber('limit', MAX_FIELDS, MAX_LINES);
      const field = (await detect(engine, request)).get(request.name);
      return { values: [...(field?.values ?? [])].slice(0, limit), limit };
    }),
  );
}

async function detect(
  engine: LogEngine,
  { parameters, options }: LokiRequest,
): Promise<ReadonlyMap<string, Field>> {
  const query = parseLogQuery(parameters.query);
  const numLines = parameters.wholeNumber('line_limit', DEFAULT_LINES, MAX_LINES);
  const fields = new Map<string, Field>();
  const add = (name: string, value: string, parser: Parser | null) => {
    if (name.startsWith('__') || (fields.size >= MAX_FIELDS && !fields.has(name))) return;
    const field = fields.get(name) ?? { values: new Set(), parsers: new Set() };
    field.values.add(value);
    if (parser !== null) field.parsers.add(parser);
    fields.set(name, field);
  };
  for (const entry of await take(engine.lines(query, parameters.range, 'backward', options), numLines))
    for (const [name, value, parser] of fieldsOf(entry)) add(name, value, parser);
  return fields;
}

/**
 * Yields the structured metadata of an entry, the fields that the query has extracted, and those that `json`
 * or `logfmt` would extract.
 */
function* fieldsOf(entry: LogEntry): Generator<[string, string, Parser | null]> {
  const { stream, structuredMetadata, parsed } = splitLabels(entry);
  const parser = entry.text.startsWith('{') ? 'json' : 'logfmt';
  const line = new PipelineLine(entry.text, stream);
  if (parser === 'json') extractJson(line);
  else extractLogfmt(line);
  for (const [name, value] of structuredMetadata) yield [name, value, null];
  for (const [name, value] of parsed) yield [name, value, parser];
  for (const name of line.parsed) yield [name, line.labels.get(name) ?? '', parser];
}

const TYPES: readonly (readonly [string, (text: string) => boolean])[] = [
  ['int', (text) => /^-?\d+$/.test(text)],
  ['float', (text) => text !== '' && Number.isFinite(Number(text))],
  ['boolean', (text) => text === 'true' || text === 'false'],
  ['duration', (text) => !Number.isNaN(parseDurationS(text))],
  ['bytes', (text) => !Number.isNaN(parseBytes(text))],
];

function typeOf(values: ReadonlySet<string>): string {
  return TYPES.find(([, is]) => [...values].every(is))?.[0] ?? 'string';
}
