import { emptyRouteTable, type RouteTable } from '@locmoe/run-format/routes-file';
import { readDocuments } from '../../data/read/documents.js';
import { listFiles } from '../../data/read/source-files.js';
import { TrainerError } from '../../errors.js';
import type { Inference } from '../../inference/inference.js';
import { ROWS_AT_ONCE } from '../../inference/log-likelihood.js';
import { tf } from '../../ops/tensorflow.js';
import { addRoutes, type RouteSequence } from '../../routing/choices/route-rows.js';
import { expertsOfDomain } from '../../routing/index.js';

export interface RecordedText {
  /** File names or patterns. */
  readonly patterns: readonly string[];
  /** Domain id: position in data.domains. */
  readonly domain: number;
  /** Maximum number of tokens that are read. */
  readonly maxTokens: number;
}

interface TextToken {
  readonly id: number;
  readonly document: number;
}

/**
 * Routes files of text as the model routes validation text, in windows of model.seqLen tokens.
 *
 * @returns the routes, a table for each pass of some thousand tokens
 * @throws TrainerError `BAD_INPUT` if a pattern matches nothing or a file is not text
 */
export async function* recordText(inference: Inference, text: RecordedText): AsyncGenerator<RouteTable> {
  const { config } = inference;
  const { seqLen } = config.model;
  const windows: TextToken[][] = [];
  const atOnce = Math.max(1, Math.floor(ROWS_AT_ONCE / seqLen));
  let window: TextToken[] = [];
  let numTokens = 0;
  let sequence = 0;
  const pass = () => {
    const table = routesOf(inference, text.domain, sequence, windows);
    sequence += windows.length;
    windows.length = 0;
    return table;
  };
  for await (const token of tokensOf(inference, text)) {
    if (numTokens++ === text.maxTokens) break;
    window.push(token);
    if (window.length < seqLen) continue;
    windows.push(window);
    window = [];
    if (windows.length === atOnce) yield pass();
  }
  if (window.length > 0) windows.push(window);
  if (windows.length > 0) yield pass();
  if (sequence === 0) throw new TrainerError('BAD_INPUT', `--text ${text.patterns.join(' ')}: has no text`);
}

/** Yields the tokens of all documents, each followed by the end-of-text token. */
async function* tokensOf(
  { tokenizer, config }: Inference,
  { patterns, domain }: RecordedText,
): AsyncGenerator<TextToken> {
  const source = { folder: process.cwd(), files: patterns, field: 'text' };
  const reading = {
    onBytes: () => undefined,
    onInvalid: (file: string) => console.error(`locmoe: ${file}: bytes that are not UTF-8 are left out`),
  };
  let document = 0;
  for (const { file, bytes } of listFiles(config.data.domains[domain]!, source))
    for await (const documents of readDocuments({ file, begin: 0, end: bytes }, source, reading))
      for (const text of documents) {
        for (const id of tokenizer.encode(text)) yield { id, document };
        yield { id: tokenizer.endOfText, document };
        document++;
      }
}

/** @param first index of the first window in the text */
function routesOf(
  { model, config, tokenizer, checkpoint }: Inference,
  domain: number,
  first: number,
  windows: readonly (readonly TextToken[])[],
): RouteTable {
  const { seqLen, dModel } = config.model;
  const table = emptyRouteTable();
  const openExperts = expertsOfDomain(config.data.domains.length, config.moe)[domain]!;
  const sequences = windows.map(
    (tokens, row): RouteSequence => ({
      row,
      sequence: first + row,
      domain: config.data.domains[domain]!,
      openExperts,
      length: tokens.length,
      documents: tokens.map(({ document }) => document),
    }),
  );
  const tokenIds = new Int32Array(windows.length * seqLen).fill(tokenizer.endOfText);
  for (const [row, tokens] of windows.entries())
    tokenIds.set(
      tokens.map(({ id }) => id),
      row * seqLen,
    );
  const domains = new Int32Array(windows.length).fill(domain);
  const { topology } = model.communicator;
  tf.tidy(() => {
    model.hidden(
      { numSequences: windows.length, seqLen, tokenIds, domains },
      {
        training: false,
        wantsScores: true,
        inspect: (layer, _, decision) =>
          addRoutes(
            table,
            {
              step: checkpoint.manifest.step,
              layer,
              moe: config.moe,
              topology,
              sequences,
              seqLen,
              tokenIdsT: tokenIds,
              positionsT: undefined,
              rowBytes: 4 * dModel,
            },
            decision,
          ),
      },
    );
  });
  return table;
}
