import { LOG_LEVELS, type LogLevel } from './levels.js';

/** A line as the store indexes it: pino's JSON, with the level as a word and the time in ms since 1970. */
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

/** Null for any other text: output of a native library, say, or a line cut short by a kill. */
export function parseRecord(text: string): LogRecord | null {
  if (!text.startsWith('{')) return null;
  let fields: Readonly<Record<string, unknown>>;
  try {
    fields = JSON.parse(text);
  } catch {
    return null;
  }
  return isRecord(fields) ? fields : null;
}

function isRecord(fields: Readonly<Record<string, unknown>>): fields is LogRecord {
  const { level, time, msg } = fields;
  return Number.isFinite(time) && typeof msg === 'string' && LOG_LEVELS.includes(level as LogLevel);
}
