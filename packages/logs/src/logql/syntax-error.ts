import { LogsError } from '../errors.js';

/** Refuses a query at a position, in the words that Loki's clients know. */
export function syntaxError(query: string, at: number, message: string): LogsError {
  const before = query.slice(0, at).split('\n');
  return new LogsError(
    'BAD_INPUT',
    `parse error at line ${before.length}, col ${before.at(-1)!.length + 1}: ${message}`,
  );
}

/** Refuses a part of LogQL that is understood but not carried out here. */
export function notSupported(query: string, at: number, name: string): LogsError {
  return syntaxError(query, at, `\`${name}\` is not supported`);
}
