import { runSelector } from '../loki.js';
import { store, stored } from '../storage.js';

const KEY = 'locmoe-queries';
const MAX_QUERIES = 50;
const MAX_CHARACTERS = 2_000;
/** Placeholder for the matcher of the run, so that an old query applies to the run that is shown now. */
const THIS_RUN = 'run=$run';

/** Returns the queries that were run in this browser, newest first. */
export function pastQueries(runId: string): string[] {
  return read().map((query) => query.replaceAll(THIS_RUN, matcherOf(runId)));
}

export function rememberQuery(query: string, runId: string): void {
  const kept = query.replaceAll(matcherOf(runId), THIS_RUN);
  // The query for all lines of the run is the default and need not be remembered.
  if (kept === '' || kept === `{${THIS_RUN}}` || kept.length > MAX_CHARACTERS) return;
  const others = read().filter((each) => each !== kept);
  store(KEY, JSON.stringify([kept, ...others].slice(0, MAX_QUERIES)));
}

export function forgetQueries(): void {
  store(KEY, null);
}

function matcherOf(runId: string): string {
  return runSelector(runId).slice(1, -1);
}

/** Reads past queries. Values that are not lists of strings come from another version or an edit, and are ignored. */
function read(): string[] {
  try {
    const value: unknown = JSON.parse(stored(KEY) ?? '[]');
    return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
  } catch {
    return [];
  }
}
