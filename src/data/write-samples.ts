import { createHash } from 'node:crypto';
import path from 'node:path';
import { TrainerError } from '../errors.js';
import { type DatasetIndex, encodeTokens, marksFile, tokenFile } from './dataset.js';
import { SPLITS, type Split } from './document.js';
import { LongDocuments, longDocument } from './long-documents.js';
import { readSamples, type Sample } from './read/samples.js';
import type { SourceFile } from './source-files.js';
import { splitShare } from './split-share.js';
import { encodeMessages, type Instruct, MARK } from './template.js';
import { TokenFile } from './token-file.js';
import type { Tokenizer } from './tokenizer.js';

type DomainEntry = DatasetIndex['domains'][number];

/** A domain of question-answer samples. */
export interface SampleDomain {
  readonly name: string;
  readonly instruct: Instruct;
  readonly files: readonly SourceFile[];
  /** Files of validation alone; without any a share of the questions is held out. */
  readonly heldOut: readonly SourceFile[];
}

interface WriteContext {
  readonly work: string;
  /** Gets the files that are written. */
  readonly files: DatasetIndex['files'];
  readonly tokenizer: Tokenizer;
  readonly validationShare: number;
  /** Limit for the text of samples that are not held out by files of their own. */
  readonly maxBytes: number;
  readonly log: (line: string) => void;
  /** Told of the tokens of held-out answers. */
  readonly count: (ids: Iterable<number>) => void;
}

/**
 * Writes the samples of a domain: their tokens, one after the other, and the marks of these. A hash of the
 * questions before the first answer decides whether a sample is held out, so that a question is in one split alone.
 *
 * @throws TrainerError `BAD_INPUT` with file, line and field of a line that is no sample, or if there is none
 */
export async function writeSamples(
  { name, instruct: { template }, files, heldOut }: SampleDomain,
  { work, files: written, tokenizer, validationShare, maxBytes, log, count }: WriteContext,
): Promise<Omit<DomainEntry, 'name' | 'validationEntropy'>> {
  // A pass of its own, which also finds all bad lines before any sample is encoded.
  const draws: number[] = [];
  for await (const { sample } of samplesOf(files, maxBytes)) draws.push(drawOf(sample));
  if (draws.length === 0)
    throw new TrainerError('BAD_INPUT', `domain ${name}: there is no sample in its files`);
  const share = heldOut.length > 0 ? 0 : splitShare(draws, validationShare);
  const both = heldOut.find(({ file }) => files.some((other) => other.file === file));
  if (both !== undefined)
    log(
      `data: ${both.file} is to train on and held out too: validation of ${name} is of answers that were seen`,
    );
  const longest = new LongDocuments();
  const outputs = {
    train: new SplitFiles(work, name, 'train'),
    validation: new SplitFiles(work, name, 'validation'),
  };
  const add = (split: Split, sample: Sample) => {
    const { ids, marks } = encodeMessages(sample, template, tokenizer);
    outputs[split].add(ids, marks, textOf(sample), tokenizer.vocabSize);
    if (split === 'validation') count(ids.filter((_, i) => marks[i] === MARK.answer));
  };
  try {
    let index = 0;
    for await (const { sample, file } of samplesOf(files, maxBytes)) {
      longest.add(longDocument(file, textOf(sample), false));
      add(draws[index++]! < share ? 'validation' : 'train', sample);
    }
    for await (const { sample } of samplesOf(heldOut, Number.POSITIVE_INFINITY)) add('validation', sample);
  } finally {
    for (const split of SPLITS) Object.assign(written, outputs[split].close());
  }
  return {
    files: files.length + heldOut.length,
    duplicates: 0,
    longest: longest.list(),
    train: outputs.train.entry,
    validation: outputs.validation.entry,
  };
}

/** The files of one split, and what the index says of them. */
class SplitFiles {
  readonly entry = { documents: 0, bytes: 0, tokens: 0, answers: 0 };
  readonly #files: ReadonlyMap<string, TokenFile>;
  readonly #tokens: TokenFile;
  readonly #marks: TokenFile;

  constructor(work: string, name: string, split: Split) {
    const open = (file: string): [string, TokenFile] => [file, new TokenFile(path.join(work, file))];
    this.#files = new Map([open(tokenFile(name, split)), open(marksFile(name, split))]);
    [this.#tokens, this.#marks] = [...this.#files.values()] as [TokenFile, TokenFile];
  }

  add(ids: readonly number[], marks: readonly number[], text: string, vocabSize: number): void {
    this.#tokens.write(encodeTokens([Uint32Array.from(ids)], vocabSize));
    this.#marks.write(Uint8Array.from(marks));
    this.entry.documents++;
    this.entry.bytes += Buffer.byteLength(text);
    this.entry.tokens += ids.length;
    this.entry.answers += marks.filter((mark) => mark === MARK.answer).length;
  }

  close(): DatasetIndex['files'] {
    return Object.fromEntries(Array.from(this.#files, ([file, output]) => [file, output.close()]));
  }
}

/** The samples of files, up to about so many bytes of text. */
async function* samplesOf(
  files: readonly SourceFile[],
  maxBytes: number,
): AsyncGenerator<{ readonly sample: Sample; readonly file: string }> {
  let bytes = 0;
  for (const { file, bytes: end } of files)
    for await (const sample of readSamples({ file, begin: 0, end })) {
      if (bytes >= maxBytes) return;
      bytes += Buffer.byteLength(textOf(sample));
      yield { sample, file };
    }
}

function textOf(sample: Sample): string {
  return sample.map(({ content }) => content).join('\n');
}

/** Returns a number in [0, 1) that is the same for samples with the same question. */
function drawOf(sample: Sample): number {
  const before = sample.slice(
    0,
    sample.findIndex(({ role }) => role === 'assistant'),
  );
  const questions = before.filter(({ role }) => role === 'user');
  const asked = questions.length > 0 ? questions : before;
  const digest = createHash('sha256')
    .update(JSON.stringify(asked.map(({ content }) => content)))
    .digest();
  return digest.readUInt32LE(0) / 2 ** 32;
}
