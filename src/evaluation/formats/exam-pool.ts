import { readdirSync } from 'node:fs';
import path from 'node:path';
import { type Entry, lettersOf, refusal } from '../question.js';
import { readBytes } from '../read-text.js';

const FIGURE = /\bfig(ure|\.)?\s/i;
const NAME = /^[A-Z0-9]+(-[A-Z0-9]+)?$/;

/**
 * The questions of a pool of hamexam or fccexam, a folder with a file for each; or of all pools in a folder.
 *
 * @throws TrainerError `BAD_INPUT` naming the file
 */
export function* examPoolEntries(folder: string): Generator<Entry> {
  const names = readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  const pools = names.filter((entry) => entry.isDirectory() && NAME.test(entry.name));
  for (const { name } of pools) yield* examPoolEntries(path.join(folder, name));
  if (pools.length > 0) return;
  const files = names.filter((entry) => entry.isFile() && NAME.test(entry.name));
  for (const { name } of files) yield entryOf(path.join(folder, name), path.basename(folder));
}

/** "E0A01 (B)", the question, and the options, a line each. */
function entryOf(file: string, pool: string): Entry {
  const [head = '', text = '', ...lines] = readBytes(file).toString('latin1').trimEnd().split(/\r?\n/);
  const answer = /^\s*\S+\s+\(?([A-D])\)?/.exec(head)?.[1];
  if (answer === undefined) throw refusal(`${file}:1`, 'has no id and letter, as in "E0A01 (B)"');
  const choices = lines.map((line, i) => {
    const [, letter, option = ''] = /^\s*([A-D])\.+\s*(.*)$/.exec(line) ?? [];
    if (letter !== 'ABCD'[i]) throw refusal(`${file}:${i + 3}`, `is not option ${'ABCD'[i] ?? 'of four'}`);
    return option;
  });
  const [id] = head.trim().split(/\s/);
  return {
    place: file,
    doc: { id, question: text, choices, answer, pool },
    text,
    choices,
    subject: pool,
    answers: lettersOf(answer, file),
    ...([text, ...choices].some((each) => FIGURE.test(each)) && { unfit: 'that refer to a figure' }),
  };
}
