import { type Level, levelOf } from '../levels.js';
import { type LokiStream, type OtherLabels, queryRange, type RangeQuery } from '../loki.js';

/** A log line with its JSON parsed. */
export interface LogLine {
  readonly ns: string;
  readonly timeMs: number;
  /** Labels of its stream, and its structured metadata. */
  readonly labels: Readonly<Record<string, string>>;
  readonly level: Level;
  readonly message: string;
  readonly text: string;
  /** Other fields of a JSON line, flattened as by LogQL's json stage, and what the query extracts. */
  readonly fields: Readonly<Record<string, string>>;
}

/** Fields that the list shows in a separate column. */
const SHOWN_ELSEWHERE = ['msg', 'time', 'level'];

/**
 * Parses a line. Any JSON object will do, not just a record of our logger: libraries write lines too. The
 * message of a line that is not JSON is its text.
 */
export function parseLine(
  stream: Readonly<Record<string, string>>,
  ns: string,
  text: string,
  { structuredMetadata, parsed = {} }: OtherLabels = {},
): LogLine {
  const labels = { ...stream, ...structuredMetadata };
  const record = text.startsWith('{') ? parseObject(text) : null;
  const level = labels.level ?? (typeof record?.level === 'string' ? record.level : undefined);
  return {
    ns,
    timeMs: Number(BigInt(ns) / 1_000n) / 1e3,
    labels,
    level: level === undefined ? levelInText(text) : levelOf(level),
    message: typeof record?.msg === 'string' ? record.msg : text,
    text,
    fields: { ...extractedFields(parsed, labels, record !== null), ...(record && fieldsOf(record)) },
  };
}

/** Returns the lines of an answer, stream by stream. */
export function linesOf(streams: readonly LokiStream[]): LogLine[] {
  return streams.flatMap(({ stream, values }) =>
    values.map(([ns, text, others]) => parseLine(stream, ns, text, others)),
  );
}

/** Fetches the lines of a log query; empty for a metric query. @throws RequestError */
export async function queryLines(range: RangeQuery): Promise<LogLine[]> {
  const data = await queryRange(range);
  return data.resultType === 'streams' ? linesOf(data.result) : [];
}

/** Returns the fields that the query extracts, without those that the line shows anyway. */
function extractedFields(
  parsed: Readonly<Record<string, string>>,
  labels: Readonly<Record<string, string>>,
  isJson: boolean,
): Record<string, string> {
  const isNew = ([name, value]: [string, string]) =>
    !(isJson && SHOWN_ELSEWHERE.includes(name)) && labels[name.replace(/_extracted$/, '')] !== value;
  return Object.fromEntries(Object.entries(parsed).filter(isNew));
}

/** Fields that have a separate column or the same value on every line. */
const NO_EXTRA = ['step', 'run', 'node', 'rank', 'generation', 'pid', 'hostname', 'stack'];

/** Returns the other fields, to show after the message; the style sheet cuts them where the row ends. */
export function extrasOf({ fields, labels, message, text: line }: LogLine): string {
  // The message is the whole line and already includes the fields.
  if (message === line) return '';
  const text = Object.entries(fields)
    .filter(([name, value]) => value !== '' && !NO_EXTRA.includes(name) && labels[name] !== value)
    .map(([name, value]) => `${name}=${abridged(value)}`)
    .join(' ');
  return text.length > MAX_EXTRAS ? `${text.slice(0, MAX_EXTRAS)}…` : text;
}

/** Limits on the length of a row, beyond which nobody would read; they keep the page small. */
const MAX_EXTRAS = 1_000;
const MAX_EXTRA = 200;

/**
 * Shortens a value: a number to five digits, a list of records to fields, any text to `MAX_EXTRA` characters.
 */
export function abridged(value: string): string {
  const number = Number(value);
  if (value !== '' && Number.isFinite(number) && !Number.isInteger(number))
    return String(Number(number.toPrecision(5)));
  const text = value.startsWith('[{') ? recordsText(value) : value;
  return text.length > MAX_EXTRA ? `${text.slice(0, MAX_EXTRA)}…` : text;
}

/** Formats a list of records as `[domain=en loss=3.2146, domain=zh loss=4]`. */
function recordsText(list: string): string {
  const record = parseObject(`{"list":${list}}`);
  if (record === null) return list;
  const texts = (record.list as object[]).map((each) =>
    Object.entries(fieldsOf({ ...each }))
      .map(([name, value]) => `${name}=${abridged(value)}`)
      .join(' '),
  );
  return `[${texts.join(', ')}]`;
}

/** Identifies a line: the same text at the same time from one source is the same line. */
export function keyOf({ ns, labels, text }: Pick<LogLine, 'ns' | 'labels' | 'text'>): string {
  return `${ns} ${labels.source ?? ''} ${labels.rank ?? ''} ${text}`;
}

export function fieldOf({ labels, fields }: LogLine, name: string): string | undefined {
  return labels[name] ?? fields[name];
}

/** Returns the step of a line, or of the failure that it reports; empty if it has none. */
export function stepOf({ fields }: Pick<LogLine, 'fields'>): string {
  return fields.step ?? fields.failure_step ?? '';
}

/** Returns the writer, abbreviated: r3, node 1, or the source's name. */
export function originOf({ labels, fields }: Pick<LogLine, 'labels' | 'fields'>): string {
  // The coordinator's lines about a rank have the label of that rank.
  if (labels.source === 'coordinator') return labels.source;
  const rank = labels.rank || fields.rank;
  if (rank) return `r${rank}`;
  const node = labels.node || fields.node;
  return node ? `node ${node}` : (labels.source ?? '');
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

/** Flattens a record, joining nested names by `_`. Unlike in LogQL, arrays and nulls are kept: they are only shown. */
function fieldsOf(record: Readonly<Record<string, unknown>>, prefix = ''): Record<string, string> {
  return Object.fromEntries(
    Object.entries(record).flatMap(([name, value]): [string, string][] => {
      const full = `${prefix}${name.replace(/\W/g, '_')}`;
      if (prefix === '' && SHOWN_ELSEWHERE.includes(name)) return [];
      if (typeof value === 'object' && value !== null && !Array.isArray(value))
        return Object.entries(fieldsOf(value as Record<string, unknown>, `${full}_`));
      return [[full, typeof value === 'string' ? value : JSON.stringify(value)]];
    }),
  );
}

function levelInText(text: string): Level {
  const word = /\b(fatal|critical|error|warn(?:ing)?|info|debug|trace)\b/i.exec(text);
  return levelOf(word?.[1]);
}
