import { existsSync } from 'node:fs';
import path from 'node:path';
import { INDEX_FILE, openDataset } from '../../data/dataset.js';
import { readDocuments } from '../../data/read/documents.js';
import { textSourceSchema } from '../../data/read/text-source.js';
import { loadTokenizer } from '../../data/tokenizer/tokenizer.js';
import { ContaminationCheck, trainingText } from '../../evaluation/contamination.js';
import { type Question, refusal } from '../../evaluation/question.js';
import { statOf } from '../../evaluation/read-text.js';
import type { Scorer } from '../../inference/log-likelihood.js';
import { openText } from '../../local/checkpoint-text.js';
import { preparationViewOn } from '../preparation-view.js';

interface Options {
  readonly contamination?: readonly string[] | true;
  readonly dataDir: string;
}

/**
 * Checks that the text exists, before a model is loaded.
 *
 * @throws TrainerError `BAD_INPUT` if it does not
 */
export function checkTexts({ contamination = [] }: Pick<Options, 'contamination'>): void {
  if (contamination !== true) for (const place of contamination) statOf(place);
}

/**
 * Searches training text for the questions; null if `contamination` is undefined.
 *
 * @throws TrainerError if the text cannot be read
 */
export async function contaminationOf(
  model: Pick<Scorer, 'checkpoint' | 'config' | 'tokenizer'>,
  questions: readonly Question[],
  { contamination, dataDir }: Options,
): Promise<ContaminationCheck | null> {
  if (contamination === undefined) return null;
  const check = new ContaminationCheck(questions);
  if (contamination === true) {
    const dataset = await openText(model, dataDir, preparationViewOn(process.stderr));
    for (const text of trainingText(dataset, model.tokenizer)) check.read(text);
    dataset.close();
  } else for (const place of contamination) await readPlace(place, check, model);
  return check;
}

/** Reads a prepared dataset, or a file of text. */
async function readPlace(
  place: string,
  check: ContaminationCheck,
  { config }: Pick<Scorer, 'config'>,
): Promise<void> {
  if (existsSync(path.join(place, INDEX_FILE))) {
    const dataset = openDataset(place);
    const tokenizer = loadTokenizer(dataset.tokenizerFile, config.data.endOfText);
    for (const text of trainingText(dataset, tokenizer)) check.read(text);
    dataset.close();
    return;
  }
  const stats = statOf(place);
  if (stats.isDirectory())
    throw refusal(place, 'is a folder, and no prepared dataset; name one, or files of text');
  const source = textSourceSchema.parse({ files: place });
  const span = { file: path.resolve(place), begin: 0, end: stats.size };
  const reading = { onBytes: () => undefined, onInvalid: () => undefined };
  for await (const texts of readDocuments(span, source, reading)) for (const text of texts) check.read(text);
}
