/** The minimum work of an operation. */
export interface Work {
  readonly flops: number;
  /** Bytes of its inputs and outputs. */
  readonly bytes: number;
}

/** All calls of an operation. */
export interface BillRow extends Work {
  readonly operation: string;
  readonly calls: number;
  /** Time of this operation, without that of other operations inside it. */
  readonly ms: number;
}

/** Adds up the time of operations that may call each other. */
export class Recorder {
  #rows = new Map<string, { calls: number; ms: number; flops: number; bytes: number }>();
  /** Time of operations inside the current one. */
  #innerMs = 0;

  /** @param workOf called after the call has returned, with its result */
  time<T>(operation: string, workOf: (result: T) => Work, call: () => T): T {
    const outerMs = this.#innerMs;
    this.#innerMs = 0;
    const started = performance.now();
    const result = call();
    const ms = performance.now() - started;
    const row = this.#rows.get(operation) ?? { calls: 0, ms: 0, flops: 0, bytes: 0 };
    const { flops, bytes } = workOf(result);
    row.calls++;
    row.ms += ms - this.#innerMs;
    row.flops += flops;
    row.bytes += bytes;
    this.#rows.set(operation, row);
    // Bookkeeping is charged to the operation and not to its caller.
    this.#innerMs = outerMs + performance.now() - started;
    return result;
  }

  /** Returns the rows and clears them. */
  take(): BillRow[] {
    const rows = [...this.#rows].map(
      ([operation, { calls, ms, flops, bytes }]): BillRow => ({
        operation,
        calls,
        ms,
        flops,
        bytes,
      }),
    );
    this.#rows = new Map();
    return rows;
  }
}
