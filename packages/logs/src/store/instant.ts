/** A point in time since 1970. A single double cannot represent ns. */
export interface Instant {
  /** Whole ms since 1970. */
  readonly timeMs: number;
  /** Sub-millisecond part, in ns. */
  readonly nanos: number;
}

/** `start` is inclusive, `end` exclusive. */
export interface TimeRange {
  readonly start: Instant;
  readonly end: Instant;
}

const NS_PER_MS = 1_000_000n;

export function instantOfNs(ns: bigint): Instant {
  const timeMs = ns / NS_PER_MS;
  return { timeMs: Number(timeMs), nanos: Number(ns - timeMs * NS_PER_MS) };
}

export function instantOfMs(ms: number): Instant {
  return { timeMs: Math.floor(ms), nanos: 0 };
}

/** Formats ns since 1970 in decimal, as in Loki's API. */
export function nsText({ timeMs, nanos }: Instant): string {
  return String(BigInt(timeMs) * NS_PER_MS + BigInt(nanos));
}

/** Compares two instants; the result is negative if `a` is earlier. */
export function compareInstants(a: Instant, b: Instant): number {
  return a.timeMs - b.timeMs || a.nanos - b.nanos;
}

export function isInRange(at: Instant, { start, end }: TimeRange): boolean {
  return compareInstants(at, start) >= 0 && compareInstants(at, end) < 0;
}
