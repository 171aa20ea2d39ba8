import path from 'node:path';
import { inspectTokenizer, readTokenizerFile, tokenizerFileAt } from '../data/tokenizer/tokenizer-file.js';
import { asTrainerError } from '../errors.js';
import type { ConfigSource, Named } from './document.js';
import { fieldOf, withFields } from './fields.js';

/** Placeholder for a size that could not be determined, so that one mistake gives only one message. */
const ANY_VOCAB_SIZE = 257;

/**
 * If `data.tokenizer` is a file or its folder, makes its path absolute and fills in `data.endOfText`, and
 * `model.vocabSize` if it is left out, is `auto`, or belongs to a tokenizer that an override replaces.
 *
 * @param base folder of the configuration file; a path given by `--set` is relative to the working folder
 */
export function nameTokenizer(value: unknown, source: ConfigSource, base: string): Named {
  const model = fieldOf(value, 'model');
  const data = fieldOf(value, 'data');
  const vocabSize = fieldOf(model, 'vocabSize');
  // A size in the configuration file is that of the tokenizer which the same file names.
  const isFromElsewhere =
    source.isOverridden(['data', 'tokenizer']) && !source.isOverridden(['model', 'vocabSize']);
  const isOpen = vocabSize === undefined || vocabSize === 'auto' || isFromElsewhere;
  const place = fieldOf(data, 'tokenizer') ?? 'train';
  const filled = (modelFields: object, dataFields: object = {}) =>
    withFields(withFields(value, 'model', modelFields), 'data', dataFields);
  if (typeof place !== 'string' || place === 'train') {
    if (vocabSize !== 'auto') return { value, problems: [] };
    const message =
      'auto is for a tokenizer with a file (data.tokenizer); one that is trained needs a number';
    return {
      value: filled({ vocabSize: ANY_VOCAB_SIZE }),
      problems: [{ path: ['model', 'vocabSize'], message }],
    };
  }
  try {
    const from = source.isOverridden(['data', 'tokenizer']) ? process.cwd() : base;
    const file = tokenizerFileAt(path.resolve(from, place));
    const endOfText = fieldOf(data, 'endOfText');
    const facts = inspectTokenizer(
      file,
      readTokenizerFile(file),
      typeof endOfText === 'string' ? endOfText : null,
    );
    const problems =
      isOpen || (typeof vocabSize === 'number' && vocabSize >= facts.vocabSize)
        ? []
        : [
            {
              path: ['model', 'vocabSize'],
              message: `${vocabSize} is less than the ${facts.vocabSize} of ${file}; leave it out, or write auto`,
            },
          ];
    return {
      value: filled(isOpen ? { vocabSize: facts.vocabSize } : {}, {
        tokenizer: file,
        endOfText: endOfText ?? facts.endOfText.content,
      }),
      problems,
    };
  } catch (error) {
    return {
      value: isOpen ? filled({ vocabSize: ANY_VOCAB_SIZE }) : value,
      problems: [{ path: ['data', 'tokenizer'], message: asTrainerError(error).message }],
    };
  }
}
