import { lossesOf } from '@locmoe/bench/internal/gate/figures';
import { sum } from '@locmoe/bench/internal/statistics';
import { openCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { committedFolders } from 'locmoe/internal/checkpoint/folders';
import type { ValidationBatch } from 'locmoe/internal/data/batch';
import type { Dataset } from 'locmoe/internal/data/dataset';
import { documentEnds } from 'locmoe/internal/data/document-ends';
import { createLoader } from 'locmoe/internal/data/loader';
import type { TokenRange } from 'locmoe/internal/data/sequences';
import { loadTokenizer } from 'locmoe/internal/data/tokenizer/tokenizer';
import { evaluate, openInference } from 'locmoe/internal/inference/inference';
import type { Run } from './runs.js';

/** Number of sequences evaluated at once. */
const BATCH = 64;

export interface TestText {
  /** The text of the run. */
  readonly dataset: Dataset;
  /** The same text as screening sees it, which holds out fewer documents. */
  readonly development: Dataset;
  /** Maximum number of sequences of a domain. */
  readonly numSequences: number;
}

/**
 * Evaluates the last checkpoint of a run on the test text, by the causal rule, in this process and in float32.
 *
 * @throws TrainerError `BAD_CHECKPOINT` if it is damaged, `NOT_FINITE` if a loss is not finite
 */
export function testLoss(
  checkpointsDir: string,
  { dataset, development, numSequences }: TestText,
): Run['test'] {
  const inference = openInference(openCheckpoint(committedFolders(checkpointsDir)[0]!));
  const { model, data, train, seed } = inference.config;
  try {
    const loader = createLoader({
      dataset,
      weights: data.weights,
      seed,
      seqLen: model.seqLen,
      globalBatch: BATCH,
      rank: 0,
      worldSize: 1,
    });
    const read = loader.validationBatches(train.validationSequences);
    const isNew = newDocuments(dataset, development);
    const batches = testBatches(
      loader.validationBatches(Number.POSITIVE_INFINITY),
      read,
      isNew,
      numSequences,
    );
    const domains = evaluate(inference, batches);
    return { ...lossesOf(domains), tokens: sum(domains.map(({ tokens }) => tokens)) };
  } finally {
    inference.model.dispose();
  }
}

/**
 * Returns the test text: held-out sequences without a token of a document on which screening validates, and that the
 * run's own validations do not read. All other sequences become padding.
 *
 * @param all every held-out sequence, domain by domain in order
 * @param read sequences that the run's validations read
 * @param isNew whether all documents of a range of a domain's held-out tokens are new
 * @param numSequences maximum number of sequences of a domain, evenly spaced
 */
export function testBatches(
  all: readonly ValidationBatch[],
  read: readonly ValidationBatch[],
  isNew: (domain: number, range: TokenRange) => boolean,
  numSequences: number,
): ValidationBatch[] {
  const isRead = new Set(read.flatMap((batch) => rowsOf(batch).map(({ name }) => name)));
  const free = all
    .flatMap(rowsOf)
    .filter(({ domain, name, range }) => !isRead.has(name) && isNew(domain, range));
  const chosen = new Set(
    [...new Set(free.map(({ domain }) => domain))].flatMap((domain) => {
      const own = free.filter((row) => row.domain === domain);
      const taken = Math.min(numSequences, own.length);
      return Array.from({ length: taken }, (_, i) => own[Math.floor((i * own.length) / taken)]!.name);
    }),
  );
  return all.flatMap((batch) => {
    const valid = new Uint8Array(batch.numSequences);
    for (const { row, name } of rowsOf(batch)) if (chosen.has(name)) valid[row] = 1;
    return valid.includes(1) ? [{ ...batch, valid }] : [];
  });
}

/** Returns the rows of a batch that are not padding, with their index among the held-out sequences of their domain. */
function rowsOf({ domains, valid, ranges, seqLen }: ValidationBatch) {
  return [...valid.keys()]
    .filter((row) => valid[row] === 1)
    .map((row) => {
      const domain = domains[row]!;
      const [range] = ranges[row]!;
      return { row, domain, range: range!, name: `${domain} ${range!.begin / seqLen}` };
    });
}

/** Finds the held-out documents of a text that the other one does not hold out, by their words, as tokenizers differ. */
function newDocuments(dataset: Dataset, development: Dataset): Parameters<typeof testBatches>[2] {
  const [ofRun, ofDevelopment] = [dataset, development].map(heldOutDocuments);
  const areNew = ofRun!.map(({ ends, texts }, domain) => {
    const seen = new Set(ofDevelopment![domain]!.texts);
    return { ends, isNew: texts.map((text) => !seen.has(text)) };
  });
  return (domain, { begin, end }) => {
    const { ends, isNew } = areNew[domain]!;
    const [first, last] = [begin, end - 1].map((token) => ends.findIndex((each) => each > token));
    return isNew.slice(first, last! + 1).every(Boolean);
  };
}

function heldOutDocuments({ domains, tokenizerFile, endOfText }: Dataset) {
  const tokenizer = loadTokenizer(tokenizerFile, null);
  return domains.map(({ validation: { ids } }) => {
    const ends = documentEnds(ids, endOfText);
    const texts = [...ends].map((end, i) => tokenizer.decode(ids.slice(ends[i - 1] ?? 0, end - 1)));
    return { ends, texts };
  });
}
