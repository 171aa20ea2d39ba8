import { monotonicMs } from '../os/monotonic-clock.js';
import type { FlightRing } from './flight-ring.js';
import type { SpanRecorder } from './transport.js';

/** Parts are nested no deeper than this. */
const MAX_DEPTH = 8;
const NO_LAYER = -1;

/** Records into a rank's flight ring, without allocations. */
export class FlightSpans implements SpanRecorder {
  /** Training step of the parts that begin next. */
  step = 0;
  /** Tickets of the open parts. */
  readonly #open = new Uint32Array(MAX_DEPTH);
  #depth = 0;
  /** Ticket of the part that `next` began; 0 for none. */
  #current = 0;
  #name = '';
  #layer = NO_LAYER;

  /** @param epochMs added to `performance.now()`, gives the times of the ring */
  constructor(
    private readonly ring: FlightRing,
    private readonly epochMs: number,
  ) {}

  begin(name: string): void {
    const now = this.epochMs + performance.now();
    this.#endCurrent(now);
    this.#open[this.#depth++] = this.ring.beginPart(name, NO_LAYER, this.step, now);
  }

  next(name: string, layer = NO_LAYER): void {
    if (this.#current !== 0 && name === this.#name && layer === this.#layer) return;
    this.#name = name;
    this.#layer = layer;
    const now = this.epochMs + performance.now();
    this.#endCurrent(now);
    this.#current = this.ring.beginPart(name, layer, this.step, now);
  }

  end(): void {
    const now = this.epochMs + performance.now();
    this.#endCurrent(now);
    if (this.#depth > 0) this.ring.end(this.#open[--this.#depth]!, now);
  }

  past({ name, startMs, endMs }: Parameters<SpanRecorder['past']>[0], step: number): void {
    const monotonicEpochMs = this.epochMs + performance.now() - monotonicMs();
    const ticket = this.ring.beginPart(name, NO_LAYER, step, monotonicEpochMs + startMs);
    this.ring.end(ticket, monotonicEpochMs + endMs);
  }

  #endCurrent(now: number): void {
    if (this.#current !== 0) this.ring.end(this.#current, now);
    this.#current = 0;
  }
}
