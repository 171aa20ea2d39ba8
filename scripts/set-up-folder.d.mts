/** The user's own, for what all packages and checkouts of this user share. */
export const CACHE_FOLDER: string;
/** Where the set-up puts a part: in this package, or for a user who cannot write there, in the user's cache. */
export function setUpFolder(part: string, present: string): string;
/** Makes a folder of `setUpFolder`, with the lock file of its part. @throws with one line of advice */
export function makeSetUpFolder(part: string, folder: string): void;
