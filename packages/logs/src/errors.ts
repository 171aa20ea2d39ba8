/**
 * - `BAD_INPUT`: an invalid query or argument, or one beyond a limit
 * - `NO_RESOURCE`: a port that cannot be bound
 * - `ABORTED`: the caller cancelled
 */
export type LogsErrorCode = 'BAD_INPUT' | 'NO_RESOURCE' | 'ABORTED';

/** An error whose message is meant for the user. */
export class LogsError extends Error {
  override readonly name = 'LogsError';

  constructor(
    readonly code: LogsErrorCode,
    message: string,
  ) {
    super(message);
  }
}

/** Returns the message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
