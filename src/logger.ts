import type { LogLevel } from '@locmoe/logs/levels';
import pino, { type DestinationStream, type Logger } from 'pino';

export type { Logger } from 'pino';

/** Who writes a line; absent fields do not apply. */
export interface LogOrigin {
  readonly run: string;
  readonly generation?: number;
  readonly node?: number;
  readonly rank?: number;
}

export interface LoggerOptions {
  readonly level: LogLevel;
  readonly origin: LogOrigin;
  readonly destination: DestinationStream;
  /** Returns the current values of further fields, e.g. the step; called for every line. */
  readonly mixin?: () => object;
}

/** Returns a pino logger that stamps every line with its origin. */
export function createLogger({ level, origin, destination, mixin }: LoggerOptions): Logger {
  return pino(
    {
      level,
      base: { ...origin },
      formatters: { level: (label) => ({ level: label }) },
      ...(mixin ? { mixin } : {}),
    },
    destination,
  );
}

/** Writes every line to the file descriptor before the call returns, so that a killed process loses none. */
export function syncDestination(fd: number): DestinationStream {
  return pino.destination({ fd, sync: true });
}
