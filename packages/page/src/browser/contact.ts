/** The server counts as gone this long after the first refused request. */
const GONE_AFTER_MS = 4_000;
/** The server counts as silent after this time without an answer; a busy machine may be slow. */
const SILENT_AFTER_MS = 12_000;

/** `silent`: requests may be accepted but are not answered; `gone`: nothing listens any more. */
export type ContactState = 'ok' | 'silent' | 'gone';

/** Whether the server of the page still answers. */
export class Contact {
  /** Time of the last answer, in ms since 1970 like the other times of this class. */
  #answeredAt: number;
  #numOpen = 0;
  /** Since when requests have been open without any answer; null if none is open. */
  #waitsSince: number | null = null;
  #refusedSince: number | null = null;

  constructor(private readonly now: () => number = Date.now) {
    this.#answeredAt = now();
  }

  /** Notes that a request is sent. Exactly one of the methods below must follow. */
  asked(): void {
    this.#numOpen++;
    this.#waitsSince ??= this.now();
  }

  /** Notes that the request was answered, possibly with an error. */
  answered(): void {
    this.#answeredAt = this.now();
    this.#refusedSince = null;
    this.#closed(this.#answeredAt);
  }

  refused(): void {
    this.#refusedSince ??= this.now();
    this.#closed(this.#waitsSince);
  }

  /** Notes that the page itself aborted the request. */
  dropped(): void {
    this.#closed(this.#waitsSince);
  }

  /** Time of the last answer, in ms since 1970. */
  get lastHeardAt(): number {
    return this.#answeredAt;
  }

  get state(): ContactState {
    const now = this.now();
    if (this.#refusedSince !== null && now - this.#refusedSince >= GONE_AFTER_MS) return 'gone';
    return this.#waitsSince !== null && now - this.#waitsSince >= SILENT_AFTER_MS ? 'silent' : 'ok';
  }

  #closed(waitsSince: number | null): void {
    this.#numOpen--;
    this.#waitsSince = this.#numOpen === 0 ? null : waitsSince;
  }
}
