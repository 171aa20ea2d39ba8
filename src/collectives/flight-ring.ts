import { FLIGHT, PART_CODE, type RecordedOperation, type RecordedSpan, readSlot } from '@locmoe/run-format';
import { OPERATION_CODES, type Operation } from '@locmoe/run-format/operations';
import { TrainerError } from '../errors.js';
import { encodePurpose } from './purpose.js';
import { FLIGHT_HEAD, FLIGHT_NAMES, FLIGHT_SLOTS } from './shm-layout.js';

/** The fields known when an operation begins. */
export type OperationStart = Omit<RecordedOperation, keyof Operation | 'firstByteMs' | 'endMs'>;

/** Slots in the layout of the ring, one after the other, and the ticket of the last. */
export interface TakenSlots {
  readonly words: Int32Array;
  readonly upTo: number;
}

/**
 * The last `FLIGHT_SLOTS` spans of one rank in shared memory, operations and the parts of steps between them: written
 * by its worker, readable by all, also after the worker's death. Lock-free: a slot's ticket is 0 while it is
 * rewritten; readers check it before and after. Tickets count the spans from 1.
 */
export class FlightRing {
  readonly #bytes: Uint8Array;
  /** The float64 fields of all slots. */
  readonly #floats: Float64Array;
  readonly #slots: number;
  /** Cache of the codes of names, for the writer. */
  readonly #codes = new Map<string, number>();
  /** The writer's own count of spans. */
  #newest: number;

  /** @param base word index of the ring; even */
  constructor(
    private readonly words: Int32Array,
    private readonly base: number,
  ) {
    this.#slots = base + FLIGHT_HEAD.names + FLIGHT_NAMES * FLIGHT_HEAD.nameWords;
    this.#bytes = new Uint8Array(words.buffer);
    this.#floats = new Float64Array(words.buffer, 0, words.length >> 1);
    this.#newest = this.newest;
  }

  #slotOf(ticket: number): number {
    return this.#slots + (ticket % FLIGHT_SLOTS) * FLIGHT.words;
  }

  /** Ticket of the span that began last; 0 before the first. */
  get newest(): number {
    return Atomics.load(this.words, this.base + FLIGHT_HEAD.newest) >>> 0;
  }

  /** @returns ticket of the part */
  beginPart(name: string, layer: number, step: number, startMs: number): number {
    const slot = this.#open(this.#codeOf(name), PART_CODE, layer, step, startMs);
    return this.#publish(slot);
  }

  /** @returns ticket of the operation */
  begin(operation: Operation, start: OperationStart): number {
    const words = this.words;
    const code = OPERATION_CODES[operation.kind];
    const layer = operation.layer ?? -1;
    const slot = this.#open(this.#codeOf(operation.purpose), code, layer, start.step, start.startMs);
    words[slot + FLIGHT.sequence] = start.sequence;
    words[slot + FLIGHT.numSends] = start.numSends;
    words[slot + FLIGHT.numReceives] = start.numReceives;
    words[slot + FLIGHT.countsHash] = operation.countsHash ?? 0;
    this.#floats[(slot + FLIGHT.bytesOut) >> 1] = start.bytesOut;
    this.#floats[(slot + FLIGHT.bytesIn) >> 1] = start.bytesIn;
    return this.#publish(slot);
  }

  #open(code: number, kind: number, layer: number, step: number, startMs: number): number {
    this.#newest = (this.#newest + 1) >>> 0 || 1;
    const slot = this.#slotOf(this.#newest);
    const words = this.words;
    Atomics.store(words, slot + FLIGHT.ticket, 0);
    for (let field = FLIGHT.sequence; field < FLIGHT.words; field++) words[slot + field] = 0;
    words[slot + FLIGHT.name] = code;
    words[slot + FLIGHT.kind] = kind;
    words[slot + FLIGHT.layer] = layer;
    words[slot + FLIGHT.step] = step;
    this.#floats[(slot + FLIGHT.startMs) >> 1] = startMs;
    return slot;
  }

  #publish(slot: number): number {
    Atomics.store(this.words, slot + FLIGHT.ticket, this.#newest | 0);
    Atomics.store(this.words, this.base + FLIGHT_HEAD.newest, this.#newest | 0);
    return this.#newest;
  }

  /** Sets a field, unless the ring has wrapped around since a long span began. */
  #set(ticket: number, field: number, value: number): void {
    const slot = this.#slotOf(ticket);
    if (this.words[slot + FLIGHT.ticket]! >>> 0 === ticket) this.#floats[(slot + field) >> 1] = value;
  }

  /** Records the arrival of the first byte of another rank. */
  firstByte(ticket: number, timeMs: number): void {
    this.#set(ticket, FLIGHT.firstByteMs, timeMs);
  }

  /** Records when the rank began to wait for the end of an operation. */
  enter(ticket: number, timeMs: number): void {
    this.#set(ticket, FLIGHT.enteredMs, timeMs);
  }

  /**
   * Records a wait in an operation.
   *
   * @param waitMs total of all waits in the operation
   * @param waitedFor rank that alone was still missing; -1 if there were several
   */
  wait(ticket: number, waitMs: number, endMs: number, waitedFor: number): void {
    const slot = this.#slotOf(ticket);
    if (this.words[slot + FLIGHT.ticket]! >>> 0 !== ticket) return;
    this.words[slot + FLIGHT.waitedFor] = waitedFor + 1;
    this.#set(ticket, FLIGHT.waitMs, waitMs);
    this.#set(ticket, FLIGHT.waitEndMs, endMs);
  }

  end(ticket: number, timeMs: number): void {
    this.#set(ticket, FLIGHT.endMs, timeMs);
  }

  #codeOf(name: string): number {
    const known = this.#codes.get(name);
    if (known !== undefined) return known;
    const index = this.names.indexOf(name);
    const code = index < 0 ? this.#addName(name) : index;
    this.#codes.set(name, code);
    return code;
  }

  #addName(name: string): number {
    const count = this.base + FLIGHT_HEAD.numNames;
    const code = this.words[count]!;
    if (code === FLIGHT_NAMES)
      throw new TrainerError('INTERNAL', `"${name}" is one name of operations more than ${FLIGHT_NAMES}`);
    const text = encodePurpose(name);
    const at = this.base + FLIGHT_HEAD.names + code * FLIGHT_HEAD.nameWords;
    this.words[at] = text.length;
    this.#bytes.set(text, (at + 1) * 4);
    Atomics.store(this.words, count, code + 1);
    return code;
  }

  /** Names of the spans so far, by code. */
  get names(): string[] {
    return Array.from({ length: Atomics.load(this.words, this.base + FLIGHT_HEAD.numNames) }, (_, code) => {
      const at = this.base + FLIGHT_HEAD.names + code * FLIGHT_HEAD.nameWords;
      return Buffer.from(this.#bytes.subarray((at + 1) * 4, (at + 1) * 4 + this.words[at]!)).toString(
        'latin1',
      );
    });
  }

  /**
   * Copies the slots after ticket `after`, in order: up to the first span that is still in progress, or all.
   * Leaves out slots that were overwritten in the meantime, or are being rewritten.
   */
  take(after: number, { all }: { readonly all: boolean }): TakenSlots {
    const words = this.words;
    const { newest } = this;
    const numNew = Math.min((newest - after) >>> 0, FLIGHT_SLOTS);
    const taken = new Int32Array(numNew * FLIGHT.words);
    let length = 0;
    let upTo = (newest - numNew) >>> 0;
    for (let i = 1; i <= numNew; i++) {
      const ticket = (newest - numNew + i) >>> 0;
      const slot = this.#slotOf(ticket);
      const isWhole = () => Atomics.load(words, slot + FLIGHT.ticket) >>> 0 === ticket;
      const isOver = this.#floats[(slot + FLIGHT.endMs) >> 1] !== 0;
      if (isWhole() && !isOver && !all) break;
      taken.set(words.subarray(slot, slot + FLIGHT.words), length);
      if (ticket !== 0 && isWhole()) length += FLIGHT.words;
      upTo = ticket;
    }
    return { words: taken.subarray(0, length), upTo };
  }

  /** Returns a copy of the ring, oldest span first, without slots that are being rewritten. */
  read(): RecordedSpan[] {
    const { names, newest } = this;
    const { words } = this.take(newest > FLIGHT_SLOTS ? newest - FLIGHT_SLOTS : 0, { all: true });
    const floats = new Float64Array(words.buffer, words.byteOffset, words.length >> 1);
    return Array.from({ length: words.length / FLIGHT.words }, (_, i) =>
      readSlot(words, floats, i * FLIGHT.words, (code) => names[code]!),
    );
  }
}
