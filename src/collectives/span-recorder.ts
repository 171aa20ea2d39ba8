/**
 * Records the parts of a step for its timeline. Parts nest: `begin` opens one, which the parts that `next` names follow
 * each other in, until `end`.
 */
export interface SpanRecorder {
  /** Opens a part inside the one that is open. */
  begin(name: string): void;
  /** Ends the part that the last `next` began, if any, and begins another; the same part goes on. */
  next(name: string, layer?: number): void;
  /** Ends the part of the last `begin`, with what is open in it. */
  end(): void;
}

/** Records nothing. */
export const NO_SPANS: SpanRecorder = { begin() {}, next() {}, end() {} };
