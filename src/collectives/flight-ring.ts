import { encodePurpose } from './purpose.js';
import { FLIGHT, FLIGHT_SLOTS } from './shm-layout.js';
import { KIND_OF_CODE, OPERATION_CODES, type Operation } from './transport.js';

const NO_LAYER = -1;

/**
 * A collective call of a rank, as recorded in its flight ring. Times in ms since 1970, by the clock of the
 * node.
 */
export interface RecordedOperation extends Operation {
  /** Number of the operation; the same call has the same number on every rank. */
  readonly sequence: number;
  readonly step: number;
  /** Messages and payload bytes to and from other ranks. */
  readonly numSends: number;
  readonly numReceives: number;
  readonly bytesOut: number;
  readonly bytesIn: number;
  readonly startMs: number;
  /** Arrival of the first byte of another rank; null before. */
  readonly firstByteMs: number | null;
  /** Null while it is under way. */
  readonly endMs: number | null;
}

/** The fields known when an operation begins. */
export type OperationStart = Omit<RecordedOperation, keyof Operation | 'firstByteMs' | 'endMs'>;

/**
 * The last `FLIGHT_SLOTS` operations of one rank in shared memory: written by its worker, readable by all,
 * also after the worker's death. Lock-free: a slot's sequence is 0 while it is rewritten; readers check it
 * before and after.
 */
export class FlightRing {
  readonly #bytes: Uint8Array;
  /** The float64 fields of all slots. */
  readonly #floats: Float64Array;
  readonly #words: Int32Array;
  readonly #base: number;

  /** @param base word index of the ring; even */
  constructor(words: Int32Array, base: number) {
    this.#words = words;
    this.#base = base;
    this.#bytes = new Uint8Array(words.buffer);
    this.#floats = new Float64Array(words.buffer, 0, words.length >> 1);
  }

  #slotOf(sequence: number): number {
    return this.#base + (sequence % FLIGHT_SLOTS) * FLIGHT.words;
  }

  begin(operation: Operation, start: OperationStart): void {
    const words = this.#words;
    const floats = this.#floats;
    const slot = this.#slotOf(start.sequence);
    Atomics.store(words, slot + FLIGHT.sequence, 0);
    words[slot + FLIGHT.kind] = OPERATION_CODES[operation.kind];
    words[slot + FLIGHT.layer] = operation.layer ?? NO_LAYER;
    words[slot + FLIGHT.step] = start.step;
    words[slot + FLIGHT.numSends] = start.numSends;
    words[slot + FLIGHT.numReceives] = start.numReceives;
    words[slot + FLIGHT.countsHash] = operation.countsHash ?? 0;
    const purpose = encodePurpose(operation.purpose);
    words[slot + FLIGHT.purposeBytes] = purpose.length;
    this.#bytes.set(purpose, (slot + FLIGHT.purpose) * 4);
    const at = slot >> 1;
    floats[at + FLIGHT.bytesOut / 2] = start.bytesOut;
    floats[at + FLIGHT.bytesIn / 2] = start.bytesIn;
    floats[at + FLIGHT.startMs / 2] = start.startMs;
    floats[at + FLIGHT.firstByteMs / 2] = 0;
    floats[at + FLIGHT.endMs / 2] = 0;
    Atomics.store(words, slot + FLIGHT.sequence, start.sequence | 0);
  }

  /** Records the arrival of the first byte of another rank. */
  firstByte(sequence: number, timeMs: number): void {
    this.#floats[(this.#slotOf(sequence) + FLIGHT.firstByteMs) >> 1] = timeMs;
  }

  end(sequence: number, timeMs: number): void {
    this.#floats[(this.#slotOf(sequence) + FLIGHT.endMs) >> 1] = timeMs;
  }

  /** A copy of the ring, oldest first, without a slot that is being rewritten. */
  read(): RecordedOperation[] {
    const found: RecordedOperation[] = [];
    for (let i = 0; i < FLIGHT_SLOTS; i++) {
      const slot = this.#base + i * FLIGHT.words;
      const sequence = Atomics.load(this.#words, slot + FLIGHT.sequence);
      if (sequence === 0) continue;
      const operation = this.#readSlot(slot, sequence >>> 0);
      if (Atomics.load(this.#words, slot + FLIGHT.sequence) === sequence) found.push(operation);
    }
    return found.sort((a, b) => a.startMs - b.startMs || a.sequence - b.sequence);
  }

  #readSlot(slot: number, sequence: number): RecordedOperation {
    const word = (field: number) => this.#words[slot + field];
    const float = (field: number) => this.#floats[(slot + field) >> 1];
    const purposeAt = (slot + FLIGHT.purpose) * 4;
    return {
      sequence,
      kind: KIND_OF_CODE[word(FLIGHT.kind)],
      purpose: Buffer.from(this.#bytes.subarray(purposeAt, purposeAt + word(FLIGHT.purposeBytes))).toString(),
      layer: word(FLIGHT.layer) === NO_LAYER ? undefined : word(FLIGHT.layer),
      countsHash: word(FLIGHT.countsHash) >>> 0,
      step: word(FLIGHT.step),
      numSends: word(FLIGHT.numSends),
      numReceives: word(FLIGHT.numReceives),
      bytesOut: float(FLIGHT.bytesOut),
      bytesIn: float(FLIGHT.bytesIn),
      startMs: float(FLIGHT.startMs),
      firstByteMs: float(FLIGHT.firstByteMs) || null,
      endMs: float(FLIGHT.endMs) || null,
    };
  }
}
