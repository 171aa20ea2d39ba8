import { LOG_LEVELS } from '../levels.js';
import { parseRecord } from '../record.js';

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const LEVEL_KEY = Buffer.from('{"level":"');
const TIME_KEY = Buffer.from('","time":');
const LEVEL_WORDS = LOG_LEVELS.map((level) => Buffer.from(level));
/** Level words differ in their first letter. */
const LEVEL_BY_LETTER = new Map(LEVEL_WORDS.map((word, level) => [word[0], level]));
const NUMBER_KEYS = ['generation', 'node', 'rank'] as const;
const NUMBER_KEY_BYTES = NUMBER_KEYS.map((key) => Buffer.from(`"${key}":`));
const RUN_KEY = Buffer.from('"run":"');
const WARN = LOG_LEVELS.indexOf('warn');

/**
 * The time of a record and its fields that become labels. pino writes them first, in the order level, time,
 * run, generation, node, rank; from such a line they are read as bytes, because parsing a million lines as
 * JSON takes seconds. A field that comes later in such a line does not count. A record with its fields in
 * another order is parsed by `parseRecord`. An instance is reused for every line; absent numbers are -1.
 */
export class LineHead {
  timeMs = 0;
  /** Index into LOG_LEVELS. */
  level = WARN;
  generation = -1;
  node = -1;
  rank = -1;

  /**
   * Reads the line from `from` (inclusive) to `to` (exclusive, its newline).
   *
   * @returns false if it is not a record; its level is then `warn`, and `timeMs` is unchanged
   */
  read(bytes: Buffer, from: number, to: number): boolean {
    this.level = WARN;
    this.generation = -1;
    this.node = -1;
    this.rank = -1;
    if (bytes[from] !== OPEN_BRACE || bytes[to - 1] !== CLOSE_BRACE) return false;
    return this.#readFast(bytes, from) || this.#parse(bytes, from, to);
  }

  #readFast(bytes: Buffer, from: number): boolean {
    if (!startsWith(bytes, from, LEVEL_KEY)) return false;
    let at = from + LEVEL_KEY.length;
    const level = LEVEL_BY_LETTER.get(bytes[at]);
    if (level === undefined || !startsWith(bytes, at, LEVEL_WORDS[level]!)) return false;
    at += LEVEL_WORDS[level]!.length;
    if (!startsWith(bytes, at, TIME_KEY)) return false;
    at += TIME_KEY.length;
    let timeMs = 0;
    const firstDigit = at;
    for (let digit = bytes[at]! - 0x30; digit >= 0 && digit <= 9; digit = bytes[++at]! - 0x30)
      timeMs = timeMs * 10 + digit;
    if (at === firstDigit || at - firstDigit > 15) return false;
    this.level = level;
    this.timeMs = timeMs;
    this.#readOrigin(bytes, at);
    return true;
  }

  /** Reads run, generation, node and rank, up to the first other field. */
  #readOrigin(bytes: Buffer, start: number): void {
    let at = start;
    while (bytes[at] === COMMA) {
      at++;
      if (startsWith(bytes, at, RUN_KEY)) {
        at += RUN_KEY.length;
        while (bytes[at] !== QUOTE && bytes[at] !== BACKSLASH && bytes[at] !== undefined) at++;
        if (bytes[at++] !== QUOTE) return;
        continue;
      }
      const key = NUMBER_KEY_BYTES.findIndex((text) => startsWith(bytes, at, text));
      if (key < 0) return;
      at += NUMBER_KEY_BYTES[key]!.length;
      let value = 0;
      const firstDigit = at;
      for (let digit = bytes[at]! - 0x30; digit >= 0 && digit <= 9; digit = bytes[++at]! - 0x30)
        value = value * 10 + digit;
      if (at === firstDigit || value > MAX_NUMBER) return;
      this[NUMBER_KEYS[key]!] = value;
    }
  }

  #parse(bytes: Buffer, from: number, to: number): boolean {
    const record = parseRecord(bytes.toString('utf8', from, to));
    if (record === null) return false;
    this.level = LOG_LEVELS.indexOf(record.level);
    this.timeMs = Math.floor(record.time);
    for (const key of NUMBER_KEYS) {
      const value = record[key];
      this[key] = isHeadNumber(value) ? value : -1;
    }
    return true;
  }
}

const MAX_NUMBER = 2 ** 31 - 1;

function isHeadNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MAX_NUMBER;
}

function startsWith(bytes: Buffer, at: number, text: Buffer): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text[i]) return false;
  return true;
}
