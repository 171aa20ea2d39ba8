import { closeSync, existsSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { crc32 } from '@node-rs/crc32';

/** A node of a generation. */
export interface JournalMember {
  readonly node: number;
  readonly host: string;
  readonly pid: number;
  /** Where it serves its peers, host:port. */
  readonly dataAddress: string;
}

/** What a generation starts from. */
export type JournalStart = {
  readonly kind: 'nothing' | 'checkpoint' | 'snapshot';
  /** Updates done there. */
  readonly step: number;
};

/** How a run came back after a failure; times in seconds. */
export interface RecoveryAccount {
  /** From the culprit's last sign of life, or the last step that all had done, to the failure. */
  readonly detectedS: number;
  /** From the failure to the begin of the training of the next generation. */
  readonly restartedS: number;
  /** Steps that were done and are done again, and the time that they had taken. */
  readonly lostSteps: number;
  readonly lostS: number;
}

/** An event in the life of a run that a coordinator must know to take the run over. */
export type JournalEvent =
  /** A coordinator process leads the run from here on; `term` counts such processes. */
  | { readonly type: 'lead'; readonly term: number; readonly pid: number; readonly host: string }
  | {
      readonly type: 'generation';
      readonly generation: number;
      readonly from: JournalStart;
      readonly nodes: number;
      readonly workersPerNode: number;
    }
  | {
      readonly type: 'members';
      readonly generation: number;
      readonly members: readonly JournalMember[];
    }
  /** All workers were told to begin. */
  | { readonly type: 'running'; readonly generation: number }
  /** A checkpoint was committed. */
  | { readonly type: 'committed'; readonly generation: number; readonly step: number }
  | {
      readonly type: 'failure';
      readonly generation: number;
      readonly code: string;
      readonly message: string;
      readonly rank: number | null;
      readonly node: number | null;
      readonly step: number | null;
    }
  | ({ readonly type: 'recovered'; readonly generation: number } & RecoveryAccount)
  | { readonly type: 'end'; readonly state: 'finished' | 'stopped' | 'failed'; readonly exitCode: number };

/** `time` is the wall clock in ms since 1970. */
export type JournalEntry = JournalEvent & { readonly time: number };

/**
 * The journal of a run, `journal.ndjson` in its folder: an event a line, behind the CRC-32 of its text, synced before
 * `append` returns. A line that a crash cut short is removed when the journal is opened again.
 */
export class Journal {
  readonly #fd: number;

  constructor(readonly file: string) {
    const whole = soundPart(file);
    this.#fd = openSync(file, 'a');
    ftruncateSync(this.#fd, whole.length);
  }

  /** @throws if the disk fails: then the event must not take place */
  append(event: JournalEvent): void {
    const line = Buffer.from(lineOf({ time: Date.now(), ...event }));
    for (let at = 0; at < line.length; ) at += writeSync(this.#fd, line, at);
    fsyncSync(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** All events of a run, oldest first, up to the first line that is damaged; none if it has no journal. */
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

/** Null if the line is damaged. */
function entryOf(line: string): JournalEntry | null {
  const text = line.slice(CHECKSUM_CHARACTERS + 1);
  return text !== '' && line.startsWith(`${checksumOf(text)} `) ? JSON.parse(text) : null;
}

const CHECKSUM_CHARACTERS = 8;

function checksumOf(text: string): string {
  return crc32(text).toString(16).padStart(CHECKSUM_CHARACTERS, '0');
}

/** The bytes of a journal before its first damaged line. */
function soundPart(file: string): Buffer {
  if (!existsSync(file)) return Buffer.alloc(0);
  const bytes = readFileSync(file);
  let end = 0;
  for (let next = bytes.indexOf('\n') + 1; next > 0; next = bytes.indexOf('\n', end) + 1) {
    if (entryOf(bytes.toString('utf8', end, next - 1)) === null) break;
    end = next;
  }
  return bytes.subarray(0, end);
}
