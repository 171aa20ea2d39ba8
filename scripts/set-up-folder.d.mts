/** Cache that all packages and checkouts of this user share. */
export const CACHE_FOLDER: string;
/**
 * Folder of a part of the set-up: in this package or, for a user who cannot write there, in the user's cache.
 */
export function setUpFolder(part: string, present: string): string;
/**
 * Makes a folder of `setUpFolder` with the lock file of its part.
 *
 * @throws an Error with one line of advice
 */
export function makeSetUpFolder(part: string, folder: string): void;
