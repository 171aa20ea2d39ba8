import { LogsError } from '../errors.js';

/** A parse error in Loki's format, which clients parse for the position. */
export function syntaxError(query: string, at: number, message: string): LogsError {
  const before = query.slice(0, at).split('\n');
  return new LogsError(
    'BAD_INPUT',
    `parse error at line ${before.length}, col ${before.at(-1)!.length + 1}: ${message}`,
  );
}

/** Error for valid LogQL that is not implemented here. */
export function notSupported(query: string, at: number, name: string): LogsError {
  return syntaxError(query, at, `\`${name}\` is not supported`);
}
