import { numStepsOf } from '@locmoe/run-format';
import { loadConfig } from '../config/resolve.js';
import type { RunConfig } from '../config/schema.js';
import { prepareData, prepareText } from '../coordinator/planning/prepare-text.js';
import { type Dataset, type DatasetIndex, readIndex, type TokenIds } from '../data/dataset.js';
import { sequencesOf } from '../data/sequences.js';
import { SPLITS, type Split } from '../data/split.js';
import { loadTokenizer } from '../data/tokenizer/tokenizer.js';
import { TrainerError } from '../errors.js';
import { formatCount, formatShare, formatSize, formatTable, printable } from '../format.js';
import { fromHere } from '../os/command-line.js';
import { preparationViewOn } from './preparation-view.js';

export interface InspectOptions {
  readonly config?: string;
  readonly text?: readonly string[];
  readonly set: readonly string[];
  readonly dataDir: string;
  readonly json?: true;
}

type DomainEntry = DatasetIndex['domains'][number];

interface SplitReport {
  readonly documents: number;
  readonly bytes: number;
  /** Tokens, counting the end of each document. */
  readonly tokens: number;
  /** Number of windows of seqLen tokens, or of sequences that samples are packed into. */
  readonly sequences: number;
}

interface DomainReport extends Omit<DomainEntry, Split> {
  readonly bytesPerToken: number;
  readonly train: SplitReport;
  readonly validation: SplitReport;
  /** Number of passes that the run makes over the training text. */
  readonly passes: number;
  /** A document of the training text, or its beginning, decoded from its tokens. */
  readonly sample: string;
}

/** Greatest number of tokens in a sample. */
const SAMPLE_TOKENS = 80;

/**
 * Runs `locmoe data inspect`.
 *
 * @throws TrainerError that says what is wrong with configuration or text
 */
export async function inspectData(options: InspectOptions): Promise<void> {
  const { config, dataset } = await prepare(options);
  const domains = reportsOf(dataset, config);
  dataset.close();
  const { dir, vocabSize } = dataset;
  const { tokenizer } = config.data;
  if (options.json) console.log(JSON.stringify({ dataset: dir, tokenizer, vocabSize, domains }, null, 2));
  else console.log(describe(config, dir, domains));
}

async function prepare({ config: file, text, set, dataDir }: InspectOptions) {
  const view = preparationViewOn(process.stderr);
  if (text !== undefined) return prepareText(text, { sets: set }, dataDir, view);
  if (file !== undefined) {
    const config = loadConfig(file, { sets: set });
    return { config, dataset: await prepareData(config, dataDir, view) };
  }
  throw new TrainerError('BAD_INPUT', "say what to inspect: --config FILE or --text 'FOLDER/**/*.txt'");
}

function reportsOf(dataset: Dataset, config: RunConfig): DomainReport[] {
  const { model, train, data } = config;
  const tokenizer = loadTokenizer(dataset.tokenizerFile, data.endOfText);
  const weights = data.weights ?? data.domains.map(() => 1);
  const totalWeight = weights.reduce((sum, weight) => sum + weight, 0);
  return readIndex(dataset.dir).domains.map((entry, id): DomainReport => {
    const splitOf = (split: Split): SplitReport => ({
      ...entry[split],
      sequences: sequencesOf(dataset.domains[id]![split], dataset.endOfText, model.seqLen).count,
    });
    const splits = { train: splitOf('train'), validation: splitOf('validation') };
    const ids = sampleIds(dataset.domains[id]!.train.ids, dataset.endOfText);
    const sequences = (numStepsOf(config) * train.globalBatch * weights[id]!) / totalWeight;
    return {
      ...entry,
      bytesPerToken: total(entry, 'bytes') / total(entry, 'tokens'),
      ...splits,
      passes: sequences / Math.max(1, splits.train.sequences),
      sample: tokenizer.decode(ids, true),
    };
  });
}

/** Takes a document from the middle of the text, or as much of the document as fits. */
function sampleIds(ids: TokenIds, endOfText: number): Uint16Array | Uint32Array {
  const middle = Math.floor(ids.length / 2);
  // Documents are pieces of at most 4 kB, so one ends within this range.
  const around = ids.slice(middle, Math.min(ids.length, middle + 4096 + SAMPLE_TOKENS));
  let begin = around.indexOf(endOfText) + 1;
  // A question-answer sample begins with an end-of-text token too.
  while (around[begin] === endOfText) begin++;
  const from = begin < around.length ? around.subarray(begin) : ids.slice(0, SAMPLE_TOKENS);
  const end = from.indexOf(endOfText);
  return from.subarray(0, Math.min(SAMPLE_TOKENS, end < 0 ? from.length : end + 1));
}

function total(
  { train, validation }: Pick<DomainEntry, Split>,
  field: 'documents' | 'bytes' | 'tokens',
): number {
  return train[field] + validation[field];
}

function describe(config: RunConfig, dir: string, domains: readonly DomainReport[]): string {
  const { model, data } = config;
  const tokenizer = data.tokenizer === 'train' ? 'trained on this text' : data.tokenizer;
  const totals = domains.map((domain) => [
    domain.name,
    formatCount(domain.files),
    formatCount(total(domain, 'documents')),
    `${formatCount(domain.duplicates)} (${formatShare(domain.duplicates / Math.max(1, domain.duplicates + total(domain, 'documents')))})`,
    formatSize(total(domain, 'bytes')),
    formatCount(total(domain, 'tokens')),
    domain.bytesPerToken.toFixed(2),
  ]);
  const splits = domains.flatMap((domain) =>
    SPLITS.map((split) => [
      domain.name,
      split,
      ...[domain[split].documents, domain[split].bytes, domain[split].tokens, domain[split].sequences].map(
        formatCount,
      ),
      split === 'train' ? domain.passes.toFixed(domain.passes < 10 ? 1 : 0) : '',
    ]),
  );
  return [
    `${dir}\ntokenizer: ${tokenizer}, ${formatCount(model.vocabSize)} tokens`,
    'a document is a text of at most 4 kB, or a piece of a longer one',
    formatTable([
      ['domain', 'files', 'documents', 'near-duplicates dropped', 'text', 'tokens', 'bytes/token'],
      ...totals,
    ]),
    formatTable(
      [
        [
          'domain',
          'split',
          'documents',
          'bytes',
          'tokens',
          `sequences of ${model.seqLen}`,
          `passes in ${numStepsOf(config)} steps`,
        ],
        ...splits,
      ],
      { textColumns: [1] },
    ),
    ...domains.flatMap(({ name, longest, sample }) => [
      `longest texts of ${name}`,
      longest
        .map(
          ({ bytes, file, start }) =>
            `  ${formatSize(bytes).padStart(7)}  ${fromHere(file)}\n           ${printable(start)}`,
        )
        .join('\n'),
      `sample of ${name}`,
      printable(sample).replace(/^/gm, '  | '),
    ]),
  ]
    .filter((part) => part !== '')
    .join('\n\n')
    .replace(/^((?:longest texts|sample) of .*)\n\n/gm, '$1\n');
}
