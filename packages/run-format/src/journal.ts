import { closeSync, existsSync, fstatSync, fsyncSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { crc32 } from '@node-rs/crc32';
import type { JournalEntry, JournalEvent } from './journal-events.js';
import { readRegularFile } from './regular-file.js';

/**
 * The journal of a run, `journal.ndjson` in its folder. Each line is the CRC-32 of an event's text followed
 * by the text, and is synced before `append` returns. A line that a crash cut short is removed when the
 * journal is opened again.
 */
export class Journal {
  readonly #fd: number;
  /** Number of bytes of complete lines. */
  #bytes: number;

  /** @param reached called at the points of `append` at which a test injects failures */
  constructor(
    readonly file: string,
    private readonly reached: (point: `journal.${'append' | 'written' | 'synced'}`) => void = () => undefined,
  ) {
    this.#bytes = soundPart(file).length;
    this.#fd = openSync(file, 'a');
    ftruncateSync(this.#fd, this.#bytes);
  }

  /** @throws the file system's error; the journal is then unchanged */
  append(event: JournalEvent): void {
    const line = Buffer.from(lineOf({ time: Date.now(), ...event }));
    this.reached('journal.append');
    try {
      for (let at = 0; at < line.length; ) at += writeSync(this.#fd, line, at);
      this.reached('journal.written');
      fsyncSync(this.#fd);
    } catch (error) {
      // A partial line, left by a full disk, would end the journal for its readers.
      ftruncateSync(this.#fd, this.#bytes);
      throw error;
    }
    this.#bytes += line.length;
    this.reached('journal.synced');
  }

  /** False once another process has written to the journal; that process leads the run then. */
  get isOurs(): boolean {
    return fstatSync(this.#fd).size === this.#bytes;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** Returns all events of a run, oldest first, up to the first damaged line; empty if the run has no journal. */
export function readJournal(file: string): JournalEntry[] {
  return soundPart(file)
    .toString()
    .split('\n')
    .flatMap((line) => entryOf(line) ?? []);
}

function lineOf(entry: JournalEntry): string {
  const text = JSON.stringify(entry);
  return `${checksumOf(text)} ${text}\n`;
}

/** Parses a line; null if it is damaged. */
function entryOf(line: string): JournalEntry | null {
  const text = line.slice(CHECKSUM_CHARACTERS + 1);
  return text !== '' && line.startsWith(`${checksumOf(text)} `) ? JSON.parse(text) : null;
}

const CHECKSUM_CHARACTERS = 8;

function checksumOf(text: string): string {
  return crc32(text).toString(16).padStart(CHECKSUM_CHARACTERS, '0');
}

/** Returns the bytes of a journal before its first damaged line. */
function soundPart(file: string): Buffer {
  if (!existsSync(file)) return Buffer.alloc(0);
  const bytes = readRegularFile(file);
  let end = 0;
  for (let next = bytes.indexOf('\n') + 1; next > 0; next = bytes.indexOf('\n', end) + 1) {
    if (entryOf(bytes.toString('utf8', end, next - 1)) === null) break;
    end = next;
  }
  return bytes.subarray(0, end);
}
