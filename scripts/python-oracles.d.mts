/** A Python interpreter of this machine that has all of these modules; null if there is none. */
export function pythonWith(modules: readonly string[]): string | null;
