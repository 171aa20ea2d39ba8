/** Name, without ending, of the file of pushed lines in a run's log folder. */
export const PUSHED_SOURCE = 'pushed';

/** A line pushed over HTTP, with its own labels; stored as one JSON object. */
export interface PushedLine {
  /** ns since 1970, decimal. */
  readonly ns: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly line: string;
}

export function formatPushedLine(pushed: PushedLine): string {
  return JSON.stringify(pushed);
}

/** Null if it is not one: a torn write, say. */
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
