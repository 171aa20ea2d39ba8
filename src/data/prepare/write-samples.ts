import { createHash } from 'node:crypto';
import { TrainerError } from '../../errors.js';
import { LongDocuments, longDocument } from '../long-documents.js';
import { readSamples, type Sample } from '../read/samples.js';
import type { SourceFile } from '../read/source-files.js';
import { type Split, splitShare } from '../split.js';
import { encodeMessages, type Instruct } from '../template.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import type { DomainWriter, ReadText } from './domain-writer.js';

/** A domain of question-answer samples. */
export interface SampleDomain {
  readonly name: string;
  readonly instruct: Instruct;
  readonly files: readonly SourceFile[];
  /** Files used only for validation; without any, a share of the questions is held out. */
  readonly heldOut: readonly SourceFile[];
}

interface WriteContext {
  readonly tokenizer: Tokenizer;
  readonly validationShare: number;
  /** Limit on the text of samples that are not in files held out for validation. */
  readonly maxBytes: number;
  readonly log: (line: string) => void;
  readonly writer: DomainWriter;
}

/**
 * Writes the tokens of a domain's samples, and a mark for each token. A hash of the questions before the first answer
 * decides whether a sample is held out, so that the same question is in only one split.
 *
 * @throws TrainerError `BAD_INPUT` with file, line and field of an invalid sample, or if there is no sample
 */
export async function writeSamples(
  { name, instruct: { template }, files, heldOut }: SampleDomain,
  { tokenizer, validationShare, maxBytes, log, writer }: WriteContext,
): Promise<ReadText> {
  // A separate pass, which also finds all bad lines before any sample is encoded.
  const draws: number[] = [];
  for await (const { sample } of samplesOf(files, maxBytes)) draws.push(drawOf(sample));
  if (draws.length === 0)
    throw new TrainerError('BAD_INPUT', `domain ${name}: there is no sample in its files`);
  const share = heldOut.length > 0 ? 0 : splitShare(draws, validationShare);
  const both = heldOut.find(({ file }) => files.some((other) => other.file === file));
  if (both !== undefined)
    log(
      `data: ${both.file} is listed both for training and for validation: the validation loss of ${name} is of answers the model has seen`,
    );
  const longest = new LongDocuments();
  const add = (split: Split, sample: Sample) => {
    const { ids, marks } = encodeMessages(sample, template, tokenizer);
    writer.add(split, Buffer.byteLength(textOf(sample)), ids, marks);
  };
  let index = 0;
  for await (const { sample, file } of samplesOf(files, maxBytes)) {
    longest.add(longDocument(file, textOf(sample), false));
    add(draws[index++]! < share ? 'validation' : 'train', sample);
  }
  for await (const { sample } of samplesOf(heldOut, Number.POSITIVE_INFINITY)) add('validation', sample);
  return { files: files.length + heldOut.length, duplicates: 0, longest: longest.list() };
}

/** Yields the samples of files, up to about `maxBytes` of text. */
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
