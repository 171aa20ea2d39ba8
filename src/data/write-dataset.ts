import { createHash } from 'node:crypto';
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { TrainerError } from '../errors.js';
import { formatNumberOf } from '../format.js';
import { makePrivate } from '../os/make-folder.js';
import { tokenizerJson, trainBpe } from './bpe-trainer.js';
import { type DomainDocuments, extractDomain } from './corpora.js';
import {
  bytesPerToken,
  type DatasetIndex,
  encodeTokens,
  FORMAT_VERSION,
  INDEX_FILE,
  TOKENIZER_FILE,
  tokenFile,
} from './dataset.js';
import { SPLITS, type Split } from './document.js';
import { LongDocuments } from './long-documents.js';
import { mergeShards } from './merge-shards.js';
import { type OwnDomain, openDomain, shardWork, TRAINING_BYTES, trainingTexts } from './own-domain.js';
import { type DataOptions, maxBytesOf, type Preparation } from './preparation.js';
import type { ProgressMeter } from './progress-meter.js';
import { removeUnfinished } from './shard.js';
import { makeAllShards } from './shard-threads.js';
import { TokenFile } from './token-file.js';
import { loadTokenizer, type Tokenizer } from './tokenizer.js';
import { readTokenizerFile } from './tokenizer-file.js';
import { withoutSeen } from './without-seen.js';
import { writeSamples } from './write-samples.js';

type DomainEntry = DatasetIndex['domains'][number];
type Write = (file: string, bytes: Uint8Array) => void;

/** Merging so many takes long enough to show progress: about ten seconds for a gigabyte of text. */
const MANY_SHARDS = 50;

export interface WriteOptions extends DataOptions {
  readonly log: (line: string) => void;
  readonly meter: ProgressMeter;
}

/** Writes all files of a dataset into the temporary folder. */
export async function writeDataset(preparation: Preparation, options: WriteOptions): Promise<DatasetIndex> {
  const { key, work } = preparation;
  const { domains, vocabSize } = options;
  const files: DatasetIndex['files'] = {};
  const write: Write = (file, bytes) => {
    writeFileSync(path.join(work, file), bytes, { flush: true });
    files[file] = { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
  };
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
  write(TOKENIZER_FILE, await tokenizerBytes([...builtIn.values()], [...own.values()], options));
  const tokenizerFile = path.join(work, TOKENIZER_FILE);
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
    const frequencies = new Float64Array(vocabSize);
    const count = (ids: Iterable<number>) => {
      for (const id of ids) frequencies[id]!++;
    };
    const documents = builtIn.get(name);
    const instruct = options.sources[name]?.instruct;
    const entry = documents
      ? writeBuiltIn(name, documents, { tokenizer, write, count })
      : instruct
        ? await writeSamples(
            { name, instruct, files: preparation.files[name]!, heldOut: preparation.heldOut[name]! },
            { ...options, work, files, tokenizer, maxBytes: maxBytesOf(name, options), count },
          )
        : writeOwn(own.get(name)!, shards.get(name)!, { work, files, options, count });
    for (let id = 0; id < vocabSize; id++) all[id]! += frequencies[id]!;
    entries.push({ name, ...entry, validationEntropy: entropyOf(frequencies) });
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

/** The training text, or of a large corpus equal parts of its domains; documents are in the order of hashes. */
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
    `data: left out ${before - count(left.values())} of ${before} validation documents that training text has`,
  );
  return left;
}

interface Shards {
  readonly paths: readonly string[];
  readonly longest: LongDocuments;
}

/** The shards of each domain, which are made unless they are there. */
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
    // Other machines take a folder that nothing touches for abandoned.
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
  name: string,
  { files, duplicates, longest, ...documents }: DomainDocuments,
  { tokenizer, write, count }: { tokenizer: Tokenizer; write: Write; count: (ids: Iterable<number>) => void },
): Omit<DomainEntry, 'name' | 'validationEntropy'> {
  const splitEntry = (split: Split): DomainEntry[Split] => {
    const ids = documents[split].map(({ text }) => withEnd(tokenizer.encode(text), tokenizer.endOfText));
    write(tokenFile(name, split), encodeTokens(ids, tokenizer.vocabSize));
    if (split === 'validation') for (const part of ids) count(part);
    return {
      documents: documents[split].length,
      bytes: documents[split].reduce((sum, { text }) => sum + Buffer.byteLength(text), 0),
      tokens: ids.reduce((sum, part) => sum + part.length, 0),
    };
  };
  return { files, duplicates, longest, train: splitEntry('train'), validation: splitEntry('validation') };
}

function writeOwn(
  domain: OwnDomain,
  { paths, longest }: Shards,
  context: {
    work: string;
    files: DatasetIndex['files'];
    options: WriteOptions;
    count: (ids: Iterable<number>) => void;
  },
): Omit<DomainEntry, 'name' | 'validationEntropy'> {
  const { vocabSize, validationShare } = context.options;
  const open = (split: Split) => new TokenFile(path.join(context.work, tokenFile(domain.name, split)));
  const outputs = { train: open('train'), validation: open('validation') };
  if (paths.length >= MANY_SHARDS)
    context.options.log(`data: joining ${paths.length} shards of ${domain.name}`);
  try {
    const { duplicates, splits } = mergeShards(paths, {
      vocabSize,
      maxBytes: maxBytesOf(domain.name, context.options),
      validationShare,
      write: (split, bytes) => {
        outputs[split].write(bytes);
        if (split === 'validation') context.count(idsIn(bytes, vocabSize));
      },
    });
    if (splits.train.documents + splits.validation.documents === 0)
      throw new TrainerError(
        'BAD_INPUT',
        `domain ${domain.name}: there is no text in its ${domain.files.length} files`,
      );
    return { files: domain.files.length, duplicates, longest: longest.list(), ...splits };
  } finally {
    for (const split of SPLITS) context.files[tokenFile(domain.name, split)] = outputs[split].close();
  }
}

function idsIn(bytes: Uint8Array, vocabSize: number): Uint16Array | Uint32Array {
  const { buffer, byteOffset, byteLength } = bytes;
  const size = bytesPerToken(vocabSize);
  return size === 2
    ? new Uint16Array(buffer, byteOffset, byteLength / 2)
    : new Uint32Array(buffer, byteOffset, byteLength / 4);
}

function withEnd(ids: Uint32Array, endOfText: number): Uint32Array {
  const ended = new Uint32Array(ids.length + 1);
  ended.set(ids);
  ended[ids.length] = endOfText;
  return ended;
}

/** Shannon entropy, in nats, of the distribution with these frequencies; 0 if there are none. */
function entropyOf(frequencies: Float64Array): number {
  const total = frequencies.reduce((a, b) => a + b, 0);
  return frequencies.reduce((sum, n) => (n > 0 ? sum - (n / total) * Math.log(n / total) : sum), 0);
}
