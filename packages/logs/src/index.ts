// Writes and queries logs. HTTP is in http.ts, so that a program that only writes loads no web server.
export { LogsError } from './errors.js';
export { LOG_LEVELS, type LogLevel } from './levels.js';
export { LogStore } from './log-store.js';
export { type MatrixJson, toMatrix } from './loki/shapes.js';
export { type LogRecord, parseRecord } from './record.js';
export { type LogListener, type LogRequest, type ResultLine, RunLogReader } from './run-log-reader.js';
export type { LogCatalog, LogFolder } from './store/log-catalog.js';
