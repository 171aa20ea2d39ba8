/**
 * Values that the browser stores for this page. Where it stores nothing, as in some private windows, a value
 * lasts as long as the page.
 */
const ofPage = new Map<string, string>();

export function stored(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return ofPage.get(key) ?? null;
  }
}

/** @param value null removes the entry */
export function store(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // The browser has no storage, or it is full.
    if (value === null) ofPage.delete(key);
    else ofPage.set(key, value);
  }
}
