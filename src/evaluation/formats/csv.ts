import path from 'node:path';
import { CsvError, parse } from 'csv-parse/sync';
import { type Entry, LETTERS, lettersOf, refusal } from '../question.js';

export type CsvFormat = 'ceval' | 'cmmlu' | 'mmlu';

interface Row {
  readonly cells: readonly string[];
  readonly line: number;
}

const EXPECTED =
  'C-Eval has the columns id, question, A, B, C, D, answer; CMMLU an index, Question, A, B, C, D, Answer; MMLU no header and question, four options, letter';

/** Recognizes a benchmark's CSV by its first line; null if it is none. */
export function csvFormatOf(file: string, text: string): CsvFormat | null {
  const [first] = rowsOf(file, text, 1);
  if (first === undefined) return null;
  if (first.cells.includes('question') && first.cells.includes('A')) return 'ceval';
  if (first.cells.includes('Question') && first.cells.includes('A')) return 'cmmlu';
  return first.cells.length >= 4 && /^[A-G]$/.test(first.cells.at(-1)!) ? 'mmlu' : null;
}

/** The questions of a CSV file of C-Eval, CMMLU or MMLU. @throws TrainerError `BAD_INPUT` with file and line */
export function* csvEntries(file: string, text: string, format: CsvFormat): Generator<Entry> {
  const subject = subjectOfFile(file);
  if (format === 'mmlu') {
    yield* mmluEntries(file, text, subject);
    return;
  }
  const [header, ...rows] = rowsOf(file, text);
  const columns = header?.cells ?? [];
  const [question, answer] = format === 'ceval' ? ['question', 'answer'] : ['Question', 'Answer'];
  const letters = [...LETTERS].filter((letter) => columns.includes(letter));
  for (const name of [question, 'A', 'B', answer])
    if (!columns.includes(name))
      throw refusal(
        `${file}:1`,
        `has no column ${name} (columns: ${columns.join(', ') || 'none'})${name === 'answer' ? '; the answers of the test split are not published, take val' : ''}`,
      );
  for (const { cells, line } of rows) {
    const place = `${file}:${line}`;
    const doc: Record<string, unknown> = {};
    columns.forEach((name, i) => {
      // The index in front has no name, and is not part of the question.
      if (name !== '') doc[name] = name === 'id' && /^\d+$/.test(cells[i]!) ? Number(cells[i]) : cells[i];
    });
    // Every split of the dataset that lm-evaluation-harness loads has it, and it counts in the hash of a document.
    if (format === 'ceval') doc.explanation ??= '';
    const choices = letters.map((letter) => cells[columns.indexOf(letter)]!);
    const answers = lettersOf(cells[columns.indexOf(answer)]!, place);
    yield { place, doc, text: cells[columns.indexOf(question)]!, choices, answers, subject };
  }
}

function* mmluEntries(file: string, text: string, subject: string): Generator<Entry> {
  for (const { cells, line } of rowsOf(file, text)) {
    const place = `${file}:${line}`;
    if (cells.length < 4) throw refusal(place, `has ${cells.length} columns; ${EXPECTED}`);
    const choices = cells.slice(1, -1);
    const answers = lettersOf(cells.at(-1)!, place);
    const doc = { question: cells[0], subject, choices, answer: answers.length === 1 ? answers[0] : answers };
    yield { place, doc, text: cells[0]!, choices, answers, subject };
  }
}

/** `anatomy` for `test/anatomy_test.csv`. */
function subjectOfFile(file: string): string {
  return path.basename(file, '.csv').replace(/_(dev|val|test)$/, '');
}

/** @param limit rows to read; all of them if undefined */
function rowsOf(file: string, text: string, limit?: number): Row[] {
  try {
    const records = parse(text, {
      info: true,
      skip_empty_lines: true,
      ...(limit !== undefined && { to: limit }),
    }) as unknown as readonly { readonly record: string[]; readonly info: { readonly lines: number } }[];
    return records.map(({ record, info }) => ({ cells: record, line: info.lines }));
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw refusal(`${file}:${Reflect.get(error, 'lines') ?? 1}`, `is no CSV (${error.message})`, error);
  }
}
