const FLUSH_INTERVAL_MS = 100;
const MAX_QUEUED_LINES = 10_000;
/** Lines may be long. */
const MAX_QUEUED_CHARS = 16 << 20;
const MAX_BATCH_LINES = 500;
/** Far below what a gRPC message may hold, whatever escapes and encoding make of it. */
const MAX_BATCH_CHARS = 1 << 20;

/** Where batches go. */
export interface LogSink {
  /** False while it cannot take more; the lines wait here then. */
  isReady(): boolean;
  send(lines: readonly string[], dropped: number): void;
}

/** Gathers log lines and sends them on in batches; when nobody takes them, it drops the newest and counts them. */
export class LogShipper {
  #queue: string[] = [];
  #queuedChars = 0;
  #dropped = 0;
  #sink: LogSink | null = null;
  readonly #timer = setInterval(() => this.flush(), FLUSH_INTERVAL_MS);

  /** Lines queued so far and from now on go to `sink`. */
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
  }

  /** Lines that wait here. */
  get numQueued(): number {
    return this.#queue.length;
  }

  flush(): void {
    while (this.#sink?.isReady() && (this.#queue.length > 0 || this.#dropped > 0)) {
      const lines = this.#queue.splice(0, this.#batchSize());
      for (const line of lines) this.#queuedChars -= line.length;
      this.#sink.send(lines, this.#dropped);
      this.#dropped = 0;
    }
  }

  /** How many of the lines that wait go into the next batch; at least one. */
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
