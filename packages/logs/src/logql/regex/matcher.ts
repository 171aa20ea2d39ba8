import { LogsError } from '../../errors.js';
import { parseRegex } from './parse.js';
import { compileProgram, type Instruction, type Program } from './program.js';
import type { Regex } from './syntax.js';

const UNKNOWN = -1;
const DEAD = 0;
const MATCHED = 1;
/** Beyond this the automaton starts over: memory stays bounded, time stays linear. */
const MAX_STATES = 2_000;
/** Instructions looked at for one text: linear time with a large factor is long on a line of megabytes. */
const MAX_VISITS = 5_000_000;

/** Where the automaton may be between two bytes. */
interface State {
  /** Instructions that come next, before assertions are looked at. */
  readonly seeds: readonly number[];
  readonly isStart: boolean;
  readonly afterWord: boolean;
  /** If the text ends here: UNKNOWN, DEAD or MATCHED. */
  atEnd: number;
}

/**
 * Tells whether bytes of UTF-8 match a regular expression, in one pass without going back: a deterministic automaton
 * whose states are made when they are first needed. No expression can take longer than linear time.
 */
export class RegexMatcher {
  readonly #program: Program;
  readonly #anchored: boolean;
  readonly #classOf = new Uint8Array(256);
  readonly #sampleOf: number[] = [];
  #states: State[] = [];
  #ids = new Map<string, number>();
  /** By state and class of byte. */
  #next: Int32Array = new Int32Array(0);
  #start = 0;
  readonly #marks: Uint32Array;
  #mark = 0;
  #visits = 0;

  /**
   * @param anchored the whole text must match, else any part of it
   * @throws LogsError `BAD_INPUT` as `parseRegex` and `compileProgram`
   */
  constructor(regex: Regex, { anchored }: { readonly anchored: boolean }) {
    this.#program = compileProgram(regex);
    this.#anchored = anchored;
    this.#marks = new Uint32Array(this.#program.instructions.length);
    this.#findClasses();
    this.#reset();
  }

  static of(pattern: string, options: { readonly anchored: boolean }): RegexMatcher {
    return new RegexMatcher(parseRegex(pattern), options);
  }

  /**
   * Whether the bytes from `from` (inclusive) to `to` (exclusive) match.
   *
   * @throws LogsError `BAD_INPUT` if finding out takes more than a bounded effort
   */
  test(bytes: Buffer, from = 0, to = bytes.length): boolean {
    this.#visits = 0;
    const numClasses = this.#sampleOf.length;
    const classOf = this.#classOf;
    let state = this.#start;
    for (let at = from; at < to; at++) {
      const byteClass = classOf[bytes[at]];
      let next = this.#next[state * numClasses + byteClass];
      if (next === UNKNOWN) next = this.#step(state, byteClass);
      if (next === DEAD) return false;
      if (next === MATCHED && !this.#anchored) return true;
      state = next;
    }
    return this.#matchesAtEnd(state);
  }

  testText(text: string): boolean {
    return this.test(Buffer.from(text));
  }

  #matchesAtEnd(id: number): boolean {
    const state = this.#states[id];
    if (state.atEnd === UNKNOWN) state.atEnd = this.#reach(state, null).matched ? MATCHED : DEAD;
    return state.atEnd === MATCHED;
  }

  /** Bytes that no instruction tells apart share a class. */
  #findClasses(): void {
    const isBorder = new Array<boolean>(257).fill(false);
    isBorder[0] = true;
    for (const instruction of this.#program.instructions) {
      if (instruction.op === 'byte') {
        isBorder[instruction.low] = true;
        isBorder[instruction.high + 1] = true;
      } else if (instruction.op === 'assert')
        for (let byte = 1; byte < 256; byte++) isBorder[byte] ||= isWord(byte) !== isWord(byte - 1);
    }
    for (let byte = 0; byte < 256; byte++) {
      if (isBorder[byte]) this.#sampleOf.push(byte);
      this.#classOf[byte] = this.#sampleOf.length - 1;
    }
  }

  #reset(): void {
    this.#states = [];
    this.#ids.clear();
    this.#next = new Int32Array(64 * this.#sampleOf.length).fill(UNKNOWN);
    const nowhere: State = { seeds: [], isStart: false, afterWord: false, atEnd: DEAD };
    this.#states.push(nowhere, { ...nowhere, atEnd: MATCHED });
    this.#start = this.#idOf({
      seeds: [this.#program.start],
      isStart: true,
      afterWord: false,
      atEnd: UNKNOWN,
    });
  }

  #idOf(state: State): number {
    const key = `${state.isStart ? 's' : ''}${state.afterWord ? 'w' : ''}${state.seeds.join()}`;
    let id = this.#ids.get(key);
    if (id === undefined) {
      id = this.#states.push(state) - 1;
      this.#ids.set(key, id);
      const numClasses = this.#sampleOf.length;
      if ((id + 1) * numClasses > this.#next.length) {
        const larger = new Int32Array(this.#next.length * 2).fill(UNKNOWN);
        larger.set(this.#next);
        this.#next = larger;
      }
    }
    return id;
  }

  #step(from: number, byteClass: number): number {
    const byte = this.#sampleOf[byteClass];
    const state = this.#states[from];
    const { matched, bytes } = this.#reach(state, byte);
    let next: number;
    if (matched && !this.#anchored) next = MATCHED;
    else {
      const seeds = new Set<number>();
      for (const instruction of bytes)
        if (instruction.low <= byte && byte <= instruction.high) seeds.add(instruction.next);
      if (!this.#anchored) seeds.add(this.#program.start);
      this.#visits += seeds.size;
      if (seeds.size === 0) next = DEAD;
      else {
        if (this.#states.length >= MAX_STATES) {
          this.#reset();
          return this.#idOf(after(seeds, byte));
        }
        next = this.#idOf(after(seeds, byte));
      }
    }
    this.#next[from * this.#sampleOf.length + byteClass] = next;
    return next;
  }

  /** What can be reached without reading a byte, given the byte that follows (null at the end). */
  #reach(
    { seeds, isStart, afterWord }: State,
    nextByte: number | null,
  ): { matched: boolean; bytes: Extract<Instruction, { op: 'byte' }>[] } {
    const isBoundary = afterWord !== (nextByte !== null && isWord(nextByte));
    const holds = {
      start: isStart,
      end: nextByte === null,
      boundary: isBoundary,
      'no-boundary': !isBoundary,
    };
    const bytes: Extract<Instruction, { op: 'byte' }>[] = [];
    let matched = false;
    const mark = ++this.#mark;
    const stack = [...seeds];
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      if (this.#marks[at] === mark) continue;
      this.#marks[at] = mark;
      if (++this.#visits > MAX_VISITS)
        throw new LogsError('BAD_INPUT', 'regular expression is too expensive on a long line: simplify it');
      const instruction = this.#program.instructions[at];
      if (instruction.op === 'match') matched = true;
      else if (instruction.op === 'byte') bytes.push(instruction);
      else if (instruction.op === 'split') stack.push(...instruction.next);
      else if (holds[instruction.what]) stack.push(instruction.next);
    }
    return { matched, bytes };
  }
}

function after(seeds: ReadonlySet<number>, byte: number): State {
  return { seeds: [...seeds].sort((a, b) => a - b), isStart: false, afterWord: isWord(byte), atEnd: UNKNOWN };
}

function isWord(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x41 && byte <= 0x5a) ||
    byte === 0x5f ||
    (byte >= 0x61 && byte <= 0x7a)
  );
}

/** The longest text that every match contains, for a quick search before the match itself; may be empty. */
export function requiredText(regex: Regex): string {
  const parts = regex.kind === 'sequence' ? regex.items : [regex];
  let longest = '';
  let run = '';
  for (const part of parts) {
    const [first] = part.kind === 'set' && part.ranges.length === 1 ? part.ranges : [];
    if (first !== undefined && first[0] === first[1]) run += String.fromCodePoint(first[0]);
    else {
      const inner =
        part.kind === 'sequence'
          ? requiredText(part)
          : part.kind === 'repeat' && part.min > 0
            ? requiredText(part.item)
            : '';
      for (const text of [run, inner]) if (text.length > longest.length) longest = text;
      run = '';
    }
  }
  return run.length > longest.length ? run : longest;
}
