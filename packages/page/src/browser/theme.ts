import { store, stored } from './storage.js';

const KEY = 'locmoe-theme';
const listeners = new Set<() => void>();
const dark = matchMedia('(prefers-color-scheme: dark)');

export type Theme = 'light' | 'dark';

/** Returns the user's choice, or else the system's theme. */
export function currentTheme(): Theme {
  const chosen = stored(KEY);
  if (chosen === 'light' || chosen === 'dark') return chosen;
  return dark.matches ? 'dark' : 'light';
}

/** Applies the theme, now and whenever the system's theme changes. */
export function startTheme(): void {
  apply();
  dark.addEventListener('change', apply);
}

export function toggleTheme(): void {
  store(KEY, currentTheme() === 'dark' ? 'light' : 'dark');
  apply();
}

/** Calls `listener` after every change, as a canvas must be repainted. */
export function onTheme(listener: () => void): void {
  listeners.add(listener);
}

function apply(): void {
  document.documentElement.dataset.theme = currentTheme();
}

const cache = new Map<string, string>();

// On an exported page another script changes the theme.
new MutationObserver(() => {
  cache.clear();
  for (const listener of listeners) listener();
}).observe(document.documentElement, { attributeFilter: ['data-theme'] });

/** Returns the value of a custom property of theme.css, e.g. `--text-dim`. */
export function cssColor(name: string): string {
  let value = cache.get(name);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    cache.set(name, value);
  }
  return value;
}

const NUM_COLORS = 8;

/** Returns one of eight colours that are distinct with any colour vision (after Okabe and Ito). */
export function seriesColor(index: number): string {
  return cssColor(`--series-${index % NUM_COLORS}`);
}
