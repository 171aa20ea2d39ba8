import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { TrainerError } from '../../errors.js';
import { formatNumberOf } from '../../format.js';
import { makePrivate } from '../../os/make-folder.js';
import { sha256 } from '../../sha256.js';
import { extractDomain } from '../built-in/corpora.js';
import { type DatasetIndex, FORMAT_VERSION, INDEX_FILE, TOKENIZER_FILE } from '../dataset.js';
import { LongDocuments } from '../long-documents.js';
import { SPLITS } from '../split.js';
import { tokenizerJson, trainBpe } from '../tokenizer/bpe-trainer.js';
import { loadTokenizer, type Tokenizer } from '../tokenizer/tokenizer.js';
import { readTokenizerFile } from '../tokenizer/tokenizer-file.js';
import { DomainWriter, type ReadText } from './domain-writer.js';
import { mergeShards } from './merge-shards.js';
import { type OwnDomain, openDomain, shardWork, TRAINING_BYTES, trainingTexts } from './own-domain.js';
import { type DataOptions, maxBytesOf, type Preparation } from './preparation.js';
import type { ProgressMeter } from './progress-meter.js';
import type { DomainDocuments } from './select-documents.js';
import { removeUnfinished } from './shard.js';
import { makeAllShards } from './shard-threads.js';
import { withoutSeen } from './without-seen.js';
import { writeSamples } from './write-samples.js';

type DomainEntry = DatasetIndex['domains'][number];

/** Merging this many shards takes long enough to show progress: about ten seconds for a gigabyte of text. */
const MANY_SHARDS = 50;

export interface WriteOptions extends DataOptions {
  readonly log: (line: string) => void;
  readonly meter: ProgressMeter;
}

/** Writes all files of a dataset into the temporary folder. */
export async function writeDataset(preparation: Preparation, options: WriteOptions): Promise<DatasetIndex> {
  const { key, work } = preparation;
  const { domains, vocabSize } = options;
  const extracted = new Map<string, DomainDocuments>();
  const own = new Map<string, OwnDomain>();
  for (const name of domains) {
    const source = options.sources[name];
    if (source === undefined)
      extracted.set(name, await extractDomain(name, { ...options, maxBytes: maxBytesOf(name, options) }));
    else if (source.instruct === undefined) own.set(name, openDomain(name, source, preparation.files[name]!));
  }
  const isLarge = options.corpus === 'large' && extracted.size > 0;
  const builtIn = isLarge ? heldOutText(extracted, options.log) : extracted;
  const bytes = await tokenizerBytes([...builtIn.values()], [...own.values()], options);
  const tokenizerFile = path.join(work, TOKENIZER_FILE);
  writeFileSync(tokenizerFile, bytes, { flush: true });
  const files: DatasetIndex['files'] = {
    [TOKENIZER_FILE]: { bytes: bytes.length, sha256: sha256(bytes) },
  };
  const origin = options.tokenizer === 'train' ? tokenizerFile : options.tokenizer;
  const tokenizer = loadTokenizer(tokenizerFile, options.endOfText, origin);
  if (tokenizer.vocabSize !== vocabSize)
    throw new TrainerError(
      'BAD_INPUT',
      `model.vocabSize: ${vocabSize} is not the ${tokenizer.vocabSize} of ${options.tokenizer}`,
    );
  const shards = await shardsOf([...own.values()], tokenizerFile, preparation, options);
  const all = new Float64Array(vocabSize);
  const entries: DomainEntry[] = [];
  for (const name of domains) {
    const instruct = options.sources[name]?.instruct;
    const writer = new DomainWriter(work, name, vocabSize, instruct !== undefined);
    const documents = builtIn.get(name);
    try {
      const read = documents
        ? writeBuiltIn(documents, tokenizer, writer)
        : instruct
          ? await writeSamples(
              { name, instruct, files: preparation.files[name]!, heldOut: preparation.heldOut[name]! },
              { ...options, tokenizer, maxBytes: maxBytesOf(name, options), writer },
            )
          : writeOwn(own.get(name)!, shards.get(name)!, options, writer);
      entries.push({
        name,
        ...read,
        ...writer.entries,
        validationEntropy: entropyOf(writer.frequencies),
      });
    } finally {
      Object.assign(files, writer.close());
    }
    writer.frequencies.forEach((count, id) => {
      all[id]! += count;
    });
  }
  const index: DatasetIndex = {
    formatVersion: FORMAT_VERSION,
    key,
    vocabSize,
    endOfText: tokenizer.endOfText,
    domains: entries,
    validationEntropy: entropyOf(all),
    files,
  };
  writeFileSync(path.join(work, INDEX_FILE), JSON.stringify(index, null, 2), { flush: true });
  return index;
}

async function tokenizerBytes(
  builtIn: readonly DomainDocuments[],
  own: readonly OwnDomain[],
  options: WriteOptions,
): Promise<Buffer> {
  const { tokenizer, vocabSize, validationShare, log } = options;
  if (tokenizer !== 'train') return readTokenizerFile(tokenizer);
  if (builtIn.length + own.length === 0)
    throw new TrainerError(
      'BAD_INPUT',
      'data.tokenizer: none is trained on questions and answers alone; start from a checkpoint with --init, or name a ' +
        'tokenizer.json',
    );
  const texts = builtInTexts(builtIn);
  let documents = 0;
  let duplicates = 0;
  for (const domain of own) {
    const maxBytes = maxBytesOf(domain.name, options);
    const found = await trainingTexts(domain, { maxBytes, validationShare, numDomains: own.length });
    for (const text of found.texts) texts.push(text);
    documents += found.documents;
    duplicates += found.duplicates;
  }
  if (own.length > 0) log(`data: training a tokenizer of ${vocabSize} tokens`);
  try {
    return Buffer.from(tokenizerJson(trainBpe(texts, vocabSize)));
  } catch (error) {
    if (!(error instanceof TrainerError) || duplicates <= documents / 2) throw error;
    const all = formatNumberOf(documents, 'document');
    const why = `${duplicates} of ${all} were left out as near-duplicates of others`;
    throw new TrainerError(error.code, `${error.message}; ${why}: text that repeats less is needed`);
  }
}

/** Returns the training text, or equal parts of a large corpus's domains; documents are in order of their hashes. */
function builtInTexts(builtIn: readonly DomainDocuments[]): string[] {
  const texts = builtIn.map(({ train }) => train.map(({ text }) => text));
  const total = texts.flat().reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  if (total <= TRAINING_BYTES) return texts.flat();
  return texts.flatMap((ofDomain) => {
    let room = TRAINING_BYTES / builtIn.length;
    const end = ofDomain.findIndex((text) => {
      room -= Buffer.byteLength(text);
      return room <= 0;
    });
    return end < 0 ? ofDomain : ofDomain.slice(0, end);
  });
}

function heldOutText(
  extracted: ReadonlyMap<string, DomainDocuments>,
  log: WriteOptions['log'],
): Map<string, DomainDocuments> {
  const left = withoutSeen(extracted);
  const count = (domains: Iterable<DomainDocuments>) =>
    Array.from(domains, ({ validation }) => validation.length).reduce((sum, each) => sum + each, 0);
  const before = count(extracted.values());
  log(
    `data: removed ${before - count(left.values())} of ${before} validation documents that also occur in the training text`,
  );
  return left;
}

interface Shards {
  readonly paths: readonly string[];
  readonly longest: LongDocuments;
}

/** Returns the shards of each domain, and makes those that do not exist. */
async function shardsOf(
  own: readonly OwnDomain[],
  tokenizerFile: string,
  { work }: Preparation,
  { dataDir, endOfText, meter, log }: WriteOptions,
): Promise<Map<string, Shards>> {
  const folder = path.join(dataDir, 'shards');
  if (own.length > 0) {
    mkdirSync(folder, { recursive: true });
    makePrivate(folder);
    removeUnfinished(folder);
  }
  const jobs = own.flatMap((domain) => {
    const work = shardWork(domain, folder);
    return domain.parts.map((part) => ({ part, work, name: domain.name }));
  });
  meter.begin(jobs.reduce((sum, { part }) => sum + part.bytes, 0));
  const made = await makeAllShards(jobs, { tokenizerFile, endOfText }, (bytes, wereDone) => {
    // Other machines consider a folder abandoned if nothing touches it.
    utimesSync(work, new Date(), new Date());
    meter.add(bytes, wereDone);
  });
  const shards = new Map(
    own.map(({ name }) => [name, { paths: [] as string[], longest: new LongDocuments() }]),
  );
  const invalid = new Set<string>();
  made.forEach((part, i) => {
    const { paths, longest } = shards.get(jobs[i]!.name)!;
    for (const shard of part.shards) paths.push(path.join(folder, shard));
    for (const document of part.longest) longest.add(document);
    for (const file of part.invalid) invalid.add(file);
  });
  if (invalid.size > 0) {
    const [first] = invalid;
    const what = invalid.size === 1 ? `${first} has` : `${invalid.size} files (${first}, ...) have`;
    log(`data: ${what} bytes that are not UTF-8; they are left out (to keep them: iconv -f LATIN1 -t UTF-8)`);
  }
  return shards;
}

function writeBuiltIn(
  { files, duplicates, longest, ...documents }: DomainDocuments,
  tokenizer: Tokenizer,
  writer: DomainWriter,
): ReadText {
  for (const split of SPLITS)
    for (const { text } of documents[split])
      writer.add(split, Buffer.byteLength(text), [...tokenizer.encode(text), tokenizer.endOfText]);
  return { files, duplicates, longest };
}

function writeOwn(
  { name, files }: OwnDomain,
  { paths, longest }: Shards,
  options: WriteOptions,
  writer: DomainWriter,
): ReadText {
  if (paths.length >= MANY_SHARDS) options.log(`data: joining ${paths.length} shards of ${name}`);
  const { vocabSize, validationShare } = options;
  const duplicates = mergeShards(paths, {
    vocabSize,
    maxBytes: maxBytesOf(name, options),
    validationShare,
    writer,
  });
  const { train, validation } = writer.entries;
  if (train.documents + validation.documents === 0)
    throw new TrainerError('BAD_INPUT', `domain ${name}: there is no text in its ${files.length} files`);
  return { files: files.length, duplicates, longest: longest.list() };
}

/** Computes the Shannon entropy, in nats, of the distribution with these frequencies; 0 if there are none. */
function entropyOf(frequencies: Float64Array): number {
  const total = frequencies.reduce((a, b) => a + b, 0);
  return frequencies.reduce((sum, n) => (n > 0 ? sum - (n / total) * Math.log(n / total) : sum), 0);
}
