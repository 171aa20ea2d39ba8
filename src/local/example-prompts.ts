import { existsSync } from 'node:fs';
import path from 'node:path';
import { configAtHand } from '../checkpoint/checkpoint.js';
import { CORPUS_DIR } from '../data/built-in/corpora.js';
import { type Dataset, type DomainData, openDataset } from '../data/dataset.js';
import { documentEnds } from '../data/document-ends.js';
import { planFor } from '../data/prepare/prepare-aside.js';
import { MARK, type Template, templateOf } from '../data/template.js';
import type { Tokenizer } from '../data/tokenizer/tokenizer.js';
import { TrainerError } from '../errors.js';
import { chatFormOf } from '../inference/chat-form.js';
import type { Inference } from '../inference/inference.js';

const NUM_EXAMPLES = 3;
/** Documents or questions among which the examples are sought, as many begin alike. */
const NUM_TRIED = 24;
/** Tokens at the beginning of the validation text that are searched. */
const TOKENS_SEARCHED = 2 ** 20;
/** Tokens of a document or a question that are decoded. */
const TOKENS_DECODED = 128;
const GENERAL = {
  text: ['Once upon a time', 'The most important thing is', 'There are two kinds of'],
  chat: ['What can you do?', 'Tell me a short story.', 'Why is the sky blue?'],
};

/**
 * Returns example prompts by domain id: beginnings of documents, or questions, of the domain's validation text if its
 * dataset is in `dataDir`, else general ones.
 */
export function examplePrompts({ checkpoint, config, tokenizer }: Inference, dataDir: string): string[][] {
  const dataset = datasetAtHand({ checkpoint, config }, dataDir);
  const examples = config.data.domains.map((_, domain) => {
    const own = dataset && ownExamples(dataset.domains[domain]!, templateOf(config.data, domain), tokenizer);
    return own?.length ? own : GENERAL[chatFormOf(checkpoint, domain) === null ? 'text' : 'chat'];
  });
  dataset?.close();
  return examples;
}

/** Opens the dataset of the model if it was prepared before; null if it was not, or its text has changed. */
function datasetAtHand(
  { checkpoint, config: { model } }: Pick<Inference, 'checkpoint' | 'config'>,
  dataDir: string,
): Dataset | null {
  const { data } = configAtHand(checkpoint);
  const places = { dataDir: path.resolve(dataDir), corpusDir: CORPUS_DIR, vocabSize: model.vocabSize };
  try {
    const { preparation } = planFor(checkpoint.tokenizerFile, { ...data, ...places });
    if (!existsSync(preparation.dir)) return null;
    const dataset = openDataset(preparation.dir, { verify: false });
    if (dataset.tokenizerSha256 === checkpoint.manifest.tokenizerSha256) return dataset;
    dataset.close();
  } catch (error) {
    if (!(error instanceof TrainerError)) throw error;
  }
  return null;
}

function ownExamples(
  { validation: { ids, marks } }: DomainData,
  template: Template | null,
  tokenizer: Tokenizer,
): string[] {
  const searched = ids.slice(0, TOKENS_SEARCHED);
  const textAt = (begin: number, end: number) =>
    tokenizer.decode([...searched.subarray(begin, Math.min(end, begin + TOKENS_DECODED))]);
  const begins =
    marks === null
      ? [0, ...documentEnds(searched, tokenizer.endOfText)]
      : [...searched.keys()].filter((i) => marks[i] === MARK.begin);
  const tried = begins.filter((_, i) => i % Math.ceil(begins.length / NUM_TRIED) === 0);
  const found = tried.map((begin) =>
    marks === null || template === null
      ? beginningOf(textAt(begin, searched.length))
      : questionIn(textAt(begin + 1, marks.indexOf(MARK.answer, begin)), template),
  );
  return [...new Set(found)].filter((text) => text !== null).slice(0, NUM_EXAMPLES);
}

/** Returns the first words of a text: up to 40 characters, or 20 if no space is among them. */
function beginningOf(text: string): string | null {
  const line = text.split('\n').find((each) => each.trim().length > 7 && /\p{L}{2}/u.test(each)) ?? '';
  return (/^.{0,39}\S(?!\S)/u.exec(line.trim()) ?? /^.{8,20}/u.exec(line.trim()))?.[0] ?? null;
}

/** Returns the only question before an answer; null if it is long, or the text has other turns. */
function questionIn(text: string, { user, assistant }: Template): string | null {
  const end = user.suffix + assistant.prefix;
  if (!text.startsWith(user.prefix) || !text.endsWith(end)) return null;
  const question = text.slice(user.prefix.length, text.length - end.length);
  return question.length > 80 || question.includes('\n') ? null : question;
}
