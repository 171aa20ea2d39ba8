/** Values that the browser keeps for this page. Where it keeps nothing, as in some private windows, a value lasts as long as the page. */
const ofPage = new Map<string, string>();

export function stored(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return ofPage.get(key) ?? null;
  }
}

/** @param value null to forget it */
export function store(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // No storage at all, or it is full.
    if (value === null) ofPage.delete(key);
    else ofPage.set(key, value);
  }
}
