import { csvEntries, csvFormatOf } from './formats/csv.js';
import { examPoolEntries } from './formats/exam-pool.js';
import { asObject } from './formats/json.js';
import { jsonLineEntries } from './formats/json-lines.js';
import { opsEvalEntries } from './formats/opseval.js';
import { isTeleQna, teleQnaEntries } from './formats/teleqna.js';
import { unzipped } from './formats/zip.js';
import { askable, type Entry, type Questions, refusal } from './question.js';
import { asText, readBytes, statOf } from './read-text.js';

export const FORMATS = ['ceval', 'cmmlu', 'mmlu', 'teleqna', 'opseval', 'exam-pool', 'jsonl'] as const;
export type Format = (typeof FORMATS)[number];

/** The questions of a file, or of a folder of question pools. */
export interface Task extends Questions {
  readonly file: string;
  readonly format: Format;
}

/**
 * @param asked the file's format; by its contents if null
 * @throws TrainerError `BAD_INPUT` with the place of what is wrong
 */
export async function loadTask(file: string, asked: Format | null): Promise<Task> {
  if (statOf(file).isDirectory()) {
    if (asked !== null && asked !== 'exam-pool')
      throw refusal(file, `is a folder; --task-format ${asked} is a file`);
    return taskOf(
      file,
      'exam-pool',
      examPoolEntries(file),
      '; a folder is a question pool of hamexam or fccexam, other files are named (folder/*.csv)',
    );
  }
  const bytes = readBytes(file);
  const text = asText(file, isZip(bytes) ? await unzipped(file, bytes) : bytes);
  const format = asked ?? formatOf(file, text);
  if (format === 'exam-pool')
    throw refusal(file, 'is a file; a question pool is a folder with a file for each');
  return taskOf(file, format, entriesOf(file, text, format));
}

function taskOf(file: string, format: Format, entries: Iterable<Entry>, hint = ''): Task {
  return { file, format, ...askable(file, entries, hint) };
}

function entriesOf(file: string, text: string, format: Exclude<Format, 'exam-pool'>): Iterable<Entry> {
  switch (format) {
    case 'teleqna':
      return teleQnaEntries(file, text);
    case 'opseval':
      return opsEvalEntries(file, text);
    case 'jsonl':
      return jsonLineEntries(file, text);
    default:
      return csvEntries(file, text, format);
  }
}

function isZip(bytes: Buffer): boolean {
  return bytes.subarray(0, 2).toString('latin1') === 'PK';
}

/** Recognizes the format of a text. @throws TrainerError `BAD_INPUT` if it is none */
function formatOf(file: string, text: string): Exclude<Format, 'exam-pool'> {
  const begin = text.trimStart();
  if (begin.startsWith('[')) return 'opseval';
  if (begin.startsWith('{')) return isOneObject(begin) ? 'teleqna' : 'jsonl';
  const csv = csvFormatOf(file, text);
  if (csv !== null) return csv;
  throw refusal(
    `${file}:1`,
    `is of no known kind; say which with --task-format (${FORMATS.join(', ')}), or see docs/evaluation.md`,
  );
}

function isOneObject(text: string): boolean {
  try {
    const value = asObject(JSON.parse(text));
    return value !== null && isTeleQna(value);
  } catch {
    // Several lines, or one that is damaged, which its own reader tells better.
    return /^\{\s*"question \d+"/.test(text);
  }
}
