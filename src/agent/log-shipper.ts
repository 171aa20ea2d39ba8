const FLUSH_INTERVAL_MS = 100;
/** Matches lines below level info, one or more a step: a separate message for each would slow the run. */
const IS_PATIENT = /^\{"level":"(?:trace|debug)"/;
/** Number of intervals after which such lines are sent even if no line of a higher level has come. */
const PATIENT_INTERVALS = 5;
const MAX_QUEUED_LINES = 10_000;
/** Bounds the memory if lines are long. */
const MAX_QUEUED_CHARS = 16 << 20;
const MAX_BATCH_LINES = 500;
/** Stays far below gRPC's message limit, even after escapes and encoding. */
const MAX_BATCH_CHARS = 1 << 20;

export interface LogSink {
  /** Returns false while lines must stay queued. */
  isReady(): boolean;
  send(lines: string[], dropped: number): void;
}

/** Sends log lines in batches. When its queue is full it drops the newest lines and counts them. */
export class LogShipper {
  #queue: string[] = [];
  #queuedChars = 0;
  #dropped = 0;
  #sink: LogSink | null = null;
  /** True if the queue holds a line of level info or above. */
  #isUrgent = false;
  #waitedIntervals = 0;
  readonly #timer = setInterval(() => this.#flushIfDue(), FLUSH_INTERVAL_MS);

  /** Sends queued and future lines to `sink`. */
  connect(sink: LogSink): void {
    this.#sink = sink;
  }

  push(line: string): void {
    if (this.#queue.length >= MAX_QUEUED_LINES || this.#queuedChars + line.length > MAX_QUEUED_CHARS) {
      this.#dropped++;
      return;
    }
    this.#queue.push(line);
    this.#queuedChars += line.length;
    this.#isUrgent ||= !IS_PATIENT.test(line);
  }

  get numQueued(): number {
    return this.#queue.length;
  }

  #flushIfDue(): void {
    this.#waitedIntervals++;
    const isFull = this.#queue.length >= MAX_BATCH_LINES;
    if (this.#isUrgent || isFull || this.#waitedIntervals >= PATIENT_INTERVALS) this.flush();
  }

  flush(): void {
    this.#waitedIntervals = 0;
    while (this.#sink?.isReady() && (this.#queue.length > 0 || this.#dropped > 0)) {
      const lines = this.#queue.splice(0, this.#batchSize());
      for (const line of lines) this.#queuedChars -= line.length;
      this.#sink.send(lines, this.#dropped);
      this.#dropped = 0;
    }
    if (this.#queue.length === 0) this.#isUrgent = false;
  }

  /** Returns the number of queued lines in the next batch; at least one. */
  #batchSize(): number {
    let chars = 0;
    const first = this.#queue.slice(0, MAX_BATCH_LINES);
    const over = first.findIndex((line, i) => {
      chars += line.length;
      return i > 0 && chars > MAX_BATCH_CHARS;
    });
    return over < 0 ? first.length : over;
  }

  close(): void {
    clearInterval(this.#timer);
    this.flush();
  }
}
