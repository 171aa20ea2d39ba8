import { existsSync } from 'node:fs';
import path from 'node:path';
import { configAtHand } from '../checkpoint/checkpoint.js';
import { CORPUS_DIR } from '../data/built-in/corpora.js';
import { type Dataset, openDataset } from '../data/dataset.js';
import { documentEnds } from '../data/document-ends.js';
import { planPreparation } from '../data/prepare/preparation.js';
import { type Template, templateOf } from '../data/template.js';
import { TrainerError } from '../errors.js';
import { chatFormOf } from '../inference/chat-form.js';
import type { Inference } from '../inference/inference.js';

const GENERAL = {
  text: ['Once upon a time', 'The most important thing is', 'There are two kinds of'],
  chat: ['What can you do?', 'Tell me a short story.', 'Why is the sky blue?'],
};
const NUM_EXAMPLES = 3;
/** Texts among which the examples are sought, as many begin alike; in that many tokens of validation text. */
const NUM_TRIED = 24;
const TOKENS_SEARCHED = 2 ** 20;
const TOKENS_DECODED = 128;

/**
 * Returns example prompts by domain id: beginnings, or questions, of the domain's validation text if its dataset is in
 * `dataDir`, else general ones.
 */
export function examplePrompts({ checkpoint, config, tokenizer }: Inference, dataDir: string): string[][] {
  const dataset = datasetAtHand(checkpoint, dataDir);
  const examples = config.data.domains.map((_, domain) => {
    const ids = dataset?.domains[domain]?.validation.ids.slice(0, TOKENS_SEARCHED) ?? new Uint16Array();
    const begins = [0, ...documentEnds(ids, tokenizer.endOfText)];
    const found = begins
      .filter((_, i) => i % Math.ceil(begins.length / NUM_TRIED) === 0)
      .map((begin) => tokenizer.decode([...ids.subarray(begin, begin + TOKENS_DECODED)]))
      .map((text) => exampleIn(text, templateOf(config.data, domain)));
    const own = [...new Set(found)].filter((text) => text !== '').slice(0, NUM_EXAMPLES);
    return own.length > 0 ? own : GENERAL[chatFormOf(checkpoint, domain) === null ? 'text' : 'chat'];
  });
  dataset?.close();
  return examples;
}

/** Opens the dataset of the model; null if it was not prepared here, or the text has changed. */
function datasetAtHand(checkpoint: Inference['checkpoint'], dataDir: string): Dataset | null {
  const { data, model } = configAtHand(checkpoint);
  const places = { dataDir: path.resolve(dataDir), corpusDir: CORPUS_DIR, vocabSize: model.vocabSize };
  try {
    const { dir } = planPreparation({ ...data, ...places });
    if (!existsSync(dir)) return null;
    const dataset = openDataset(dir, { verify: false });
    if (dataset.tokenizerSha256 === checkpoint.manifest.tokenizerSha256) return dataset;
    dataset.close();
  } catch (error) {
    if (!(error instanceof TrainerError)) throw error;
  }
  return null;
}

/** Returns the question before the first answer, or the first words of a text; empty if there are none that fit. */
function exampleIn(text: string, template: Template | null): string {
  if (template === null) {
    const line = text.split('\n').find((each) => /\p{L}{2}.{6}/u.test(each)) ?? '';
    return (/^.{0,39}\S(?!\S)/u.exec(line.trim()) ?? /^.{0,20}/u.exec(line.trim()))?.[0] ?? '';
  }
  const { user, assistant } = template;
  const end = text.indexOf(user.suffix + assistant.prefix);
  const question = text.startsWith(user.prefix) ? text.slice(user.prefix.length, Math.max(0, end)) : '';
  return question.length > 80 || question.includes('\n') ? '' : question;
}
