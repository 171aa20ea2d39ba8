/**
 * - `BAD_INPUT`: a query or another argument that cannot be, or one that asks for too much
 * - `NO_RESOURCE`: a port that cannot be had
 * - `ABORTED`: nobody waits for the answer any more
 */
export type LogsErrorCode = 'BAD_INPUT' | 'NO_RESOURCE' | 'ABORTED';

/** An error whose message alone tells a user what was wrong. */
export class LogsError extends Error {
  override readonly name = 'LogsError';

  constructor(
    readonly code: LogsErrorCode,
    message: string,
  ) {
    super(message);
  }
}

/** What to tell of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
