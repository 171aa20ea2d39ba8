import { LOG_LEVELS, type LogLevel } from './levels.js';

/**
 * A line as the store indexes it: JSON with a message, the level as a word, and the time in ms since 1970.
 */
export interface LogRecord {
  readonly level: LogLevel;
  readonly time: number;
  readonly msg: string;
  readonly run?: string;
  readonly generation?: number;
  readonly node?: number;
  readonly rank?: number;
  readonly step?: number;
  readonly [field: string]: unknown;
}

/**
 * Parses a line of pino, bunyan or winston: the level is a word or a number, the time a number or ISO 8601,
 * the message `msg` or `message`.
 *
 * @returns null for any other text, such as output of a native library or a line cut short by a kill
 */
export function parseRecord(text: string): LogRecord | null {
  if (!text.startsWith('{')) return null;
  let fields: Readonly<Record<string, unknown>>;
  try {
    fields = JSON.parse(text);
  } catch {
    return null;
  }
  const level = levelOf(fields.level);
  const time = timeOf(fields.time ?? fields.timestamp);
  const msg = fields.msg ?? fields.message;
  if (level === undefined || !Number.isFinite(time) || typeof msg !== 'string') return null;
  return { ...fields, level, time, msg };
}

/** Parses a word, or a number as in pino and bunyan: 10 for trace to 60 for fatal. */
function levelOf(level: unknown): LogLevel | undefined {
  return typeof level === 'number' ? LOG_LEVELS[level / 10 - 1] : LOG_LEVELS.find((word) => word === level);
}

/** Parses a time, a number or ISO 8601, to ms since 1970; NaN for anything else. */
function timeOf(time: unknown): number {
  if (typeof time === 'number') return time;
  return typeof time === 'string' && /^\d{4}-\d\d-\d\dT/.test(time) ? Date.parse(time) : Number.NaN;
}
