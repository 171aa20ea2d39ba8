/** Prints a line; in a terminal the next replaces one that `isReplaced`. */
export type Log = (line: string, isReplaced?: boolean) => void;
/** Runs a part of the set-up; reports on stderr its progress and duration. */
export function inPhase<T>(name: string, run: (log: Log) => T | Promise<T>): Promise<T>;
