/** The file of lines that came over HTTP, in every run's log folder. */
export const PUSHED_SOURCE = 'pushed';

/** A line that came over HTTP with labels of its own; the file keeps it as one JSON object. */
export interface PushedLine {
  /** Since 1970, decimal. */
  readonly ns: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly line: string;
}

/** The JSON text in the file. */
export function formatPushedLine(pushed: PushedLine): string {
  return JSON.stringify(pushed);
}

/** Null if it is none (a torn write, say). */
export function parsePushedLine(text: string): PushedLine | null {
  try {
    const { ns, labels, line } = JSON.parse(text);
    if (typeof ns !== 'string' || !/^\d{1,19}$/.test(ns) || typeof line !== 'string') return null;
    if (typeof labels !== 'object' || labels === null) return null;
    return { ns, labels, line };
  } catch {
    return null;
  }
}
