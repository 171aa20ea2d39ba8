/** Path of oneDNN's library: LOCMOE_ONEDNN, that of `setupOneDnn`, or the system's. */
export function findOneDnn(): string | null;
/** The library of threads beside the one that was set up, to be loaded first. */
export function findThreads(): string | null;
/** Fetches the library if there is none. Says why where it cannot; never throws. */
export function setupOneDnn(log: (line: string) => void): void;
/** Fetches the library into onednn/, whether or not the system has one. @throws with one line */
export function fetchOneDnn(log: (line: string) => void): void;
