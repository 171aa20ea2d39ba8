/** The Chromium of this machine, or of CHROMIUM in the environment; null if there is none. */
export function chromiumPath(): string | null;
