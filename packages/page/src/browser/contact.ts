/** The server counts as gone so long after the first refused request. */
const GONE_AFTER_MS = 4_000;
/** The same for requests that are not answered: a busy machine takes its time. */
const SILENT_AFTER_MS = 12_000;

/** `silent`: it takes requests, if at all, without an answer; `gone`: nothing listens any more. */
export type ContactState = 'ok' | 'silent' | 'gone';

/** Whether the server of the page still answers. */
export class Contact {
  /** ms since 1970, as are the others. */
  #answeredAt: number;
  #numOpen = 0;
  /** Start of the time in which requests are open and none was answered; null if there is none. */
  #waitsSince: number | null = null;
  #refusedSince: number | null = null;

  constructor(private readonly now: () => number = Date.now) {
    this.#answeredAt = now();
  }

  /** A request is sent. Exactly one of the others follows. */
  asked(): void {
    this.#numOpen++;
    this.#waitsSince ??= this.now();
  }

  /** It was answered, be it with an error. */
  answered(): void {
    this.#answeredAt = this.now();
    this.#refusedSince = null;
    this.#closed(this.#answeredAt);
  }

  refused(): void {
    this.#refusedSince ??= this.now();
    this.#closed(this.#waitsSince);
  }

  /** The page itself gave it up. */
  dropped(): void {
    this.#closed(this.#waitsSince);
  }

  /** ms since 1970. */
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
