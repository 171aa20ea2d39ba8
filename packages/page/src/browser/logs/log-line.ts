import { type Level, levelOf } from '../levels.js';

/** A line of the log as the page shows it. */
export interface LogLine {
  /** Time in ns since 1970. */
  readonly ns: string;
  readonly timeMs: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly level: Level;
  readonly message: string;
  /** As it was logged. */
  readonly text: string;
  /** What a JSON line holds beside labels, message and time. */
  readonly fields: Readonly<Record<string, string>>;
}

/** Fields that are shown as something else. */
const SHOWN_ELSEWHERE = ['msg', 'time', 'level'];

/** Reads a line of the store; one that is no JSON is its own message. */
export function parseLine(labels: Readonly<Record<string, string>>, ns: string, text: string): LogLine {
  const record = text.startsWith('{') ? parseObject(text) : null;
  const level = labels.level ?? (typeof record?.level === 'string' ? record.level : undefined);
  return {
    ns,
    timeMs: Number(BigInt(ns) / 1_000n) / 1e3,
    labels,
    level: level === undefined ? levelInText(text) : levelOf(level),
    message: typeof record?.msg === 'string' ? record.msg : text,
    text,
    fields: record === null ? {} : fieldsOf(record),
  };
}

/** Fields that the columns of a list or the labels show already. */
const NO_EXTRA = ['step', 'run', 'node', 'rank', 'generation', 'pid', 'hostname', 'stack'];

/** The fields of a line behind its message: what it is about, in short. */
export function extrasOf({ fields, labels }: LogLine): string {
  const text = Object.entries(fields)
    .filter(([name, value]) => value !== '' && !NO_EXTRA.includes(name) && labels[name] !== value)
    .map(([name, value]) => `${name}=${shortened(value)}`)
    .join(' ');
  return text.length > MAX_EXTRAS ? `${text.slice(0, MAX_EXTRAS)}…` : text;
}

const MAX_EXTRAS = 140;
const MAX_EXTRA = 60;

/** A value where there is little room: five digits, sixty letters. */
export function shortened(value: string): string {
  const number = Number(value);
  if (value !== '' && Number.isFinite(number) && !Number.isInteger(number))
    return String(Number(number.toPrecision(5)));
  return value.length > MAX_EXTRA ? `${value.slice(0, MAX_EXTRA)}…` : value;
}

/** Tells lines apart: the same text at the same time from one source is one line. */
export function keyOf({ ns, labels, text }: Pick<LogLine, 'ns' | 'labels' | 'text'>): string {
  return `${ns} ${labels.source ?? ''} ${labels.rank ?? ''} ${text}`;
}

/** A field of a line, wherever it comes from. */
export function fieldOf({ labels, fields }: LogLine, name: string): string | undefined {
  return labels[name] ?? fields[name];
}

/** Who wrote a line, in few letters: r3, node 1, or the source's name. */
export function originOf({ labels, fields }: Pick<LogLine, 'labels' | 'fields'>): string {
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

/** Flat, with `_` between the names as LogQL's json stage has them. */
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
