import type { Log } from './progress.d.mts';

/** Path of oneDNN's library: LOCMOE_ONEDNN, the one that `setupOneDnn` fetched, or the system's. */
export function findOneDnn(): string | null;
/**
 * Path of the threading library that was fetched with oneDNN and must be loaded first; null if there is none.
 */
export function findThreads(): string | null;
/** Fetches the library if there is none. Logs the reason if it cannot; never throws. */
export function setupOneDnn(log: Log): Promise<void>;
/**
 * Fetches the library into onednn/, whether or not the system has one.
 *
 * @throws an Error with a message of one line
 */
export function fetchOneDnn(log: Log): Promise<void>;
