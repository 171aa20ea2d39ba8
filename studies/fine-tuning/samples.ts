import { createHash } from 'node:crypto';
import type { Dataset } from 'locmoe/internal/data/dataset';
import type { Tokenizer } from 'locmoe/internal/data/tokenizer';
import { trainingText } from 'locmoe/internal/evaluation/contamination';
import type { Question } from 'locmoe/internal/evaluation/question';

/** A line of what a model is fine-tuned on. The answer begins with a space, as options do that are scored. */
export interface Sample {
  readonly prompt: string;
  readonly completion: string;
}

/**
 * Whether a question of TeleQnA is learned, or held out for the evaluation: half of them each, by a hash of the question,
 * so that a question that stands there twice is on one side.
 */
export function isLearned({ text }: Pick<Question, 'text'>): boolean {
  const digest = createHash('sha256').update(text.trim().toLowerCase()).digest();
  return digest[0]! % 2 === 0;
}

/** The text of the right option, and the explanation. */
export function sampleOf({ text, choices, answer, doc }: Question): Sample {
  const explanation = typeof doc.explanation === 'string' ? doc.explanation.trim() : '';
  return {
    prompt: text.trim(),
    completion: ` ${choices[answer]!.trim()}${explanation === '' ? '' : `\n${explanation}`}`,
  };
}

/** An object of a MIB module, with its description. */
const MANAGED_OBJECT =
  /\b([a-z][A-Za-z0-9]*)\s+OBJECT-TYPE\s(?:(?!OBJECT-TYPE)[^"])*?DESCRIPTION\s+"([^"]+)"/g;
const FIRST_SENTENCE = /^.*?\.(?= |$)/;

/** Questions about the managed objects that a text defines; the first definition of a name counts. */
export function objectSamples(texts: Iterable<string>): Sample[] {
  const descriptions = new Map<string, string>();
  for (const text of texts)
    for (const [, name = '', description = ''] of text.matchAll(MANAGED_OBJECT)) {
      const line = description.replaceAll(/\s+/g, ' ').trim();
      if (line !== '' && !descriptions.has(name))
        descriptions.set(name, FIRST_SENTENCE.exec(line)?.[0] ?? line);
    }
  return [...descriptions].map(([name, description]) => ({
    prompt: `What does the managed object ${name} stand for?`,
    completion: ` ${description}`,
  }));
}

/** The training text of the domain telecom. */
export function telecomText(dataset: Dataset, tokenizer: Tokenizer): Iterable<string> {
  const domains = dataset.domains.filter(({ name }) => name === 'telecom');
  return trainingText({ ...dataset, domains }, tokenizer);
}
