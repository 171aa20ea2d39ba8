import { existsSync } from 'node:fs';
import path from 'node:path';
import { INDEX_FILE, openDataset } from '../../data/dataset.js';
import { readDocuments } from '../../data/read/documents.js';
import { listFiles } from '../../data/source-files.js';
import { textSourceSchema } from '../../data/text-source.js';
import { loadTokenizer } from '../../data/tokenizer.js';
import { ContaminationCheck, GRAM, trainingText } from '../../evaluation/contamination.js';
import type { Question } from '../../evaluation/question.js';
import type { Inference } from '../../inference/inference.js';
import { openText } from './open.js';

export interface Contamination {
  readonly gramWords: number;
  readonly contaminated: ReadonlySet<Question>;
  readonly tooShort: ReadonlySet<Question>;
}

/** Which questions stand in training text; null if nobody asks. @throws TrainerError if the text cannot be read */
export async function contaminationOf(
  inference: Inference,
  questions: readonly Question[],
  { contamination, dataDir }: { readonly contamination?: readonly string[] | true; readonly dataDir: string },
): Promise<Contamination | null> {
  if (contamination === undefined) return null;
  const check = new ContaminationCheck(questions);
  if (contamination === true) {
    const dataset = await openText(inference, dataDir);
    for (const text of trainingText(dataset, inference.tokenizer)) check.read(text);
    dataset.close();
  } else for (const place of contamination) await readPlace(place, check, inference);
  return { gramWords: GRAM, contaminated: check.contaminated, tooShort: check.tooShort };
}

/** A prepared dataset, or text files by a pattern. */
async function readPlace(place: string, check: ContaminationCheck, { config }: Inference): Promise<void> {
  if (existsSync(path.join(place, INDEX_FILE))) {
    const dataset = openDataset(place);
    const tokenizer = loadTokenizer(dataset.tokenizerFile, config.data.endOfText);
    for (const text of trainingText(dataset, tokenizer)) check.read(text);
    dataset.close();
    return;
  }
  const source = textSourceSchema.parse({ files: place });
  const reading = { onBytes: () => undefined, onInvalid: () => undefined };
  for (const { file, bytes } of listFiles('--contamination', source))
    for await (const texts of readDocuments({ file, begin: 0, end: bytes }, source, reading))
      for (const text of texts) check.read(text);
}
