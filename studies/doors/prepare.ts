import { once } from 'node:events';
import { createWriteStream, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { finished } from 'node:stream/promises';
import { programBeside } from '@locmoe/test-kit';
import { CORPUS_DIR, extractDomain } from 'locmoe/internal/data/built-in/corpora';
import { type TextSource, textSourceSchema } from 'locmoe/internal/data/read/text-source';
import { askProgram } from '../kit/ask-program.js';
import type { PartPlace } from '../kit/parts.js';
import type { DoorPart } from './figures.js';

export type PrepareRequest =
  | {
      readonly dataDir: string;
      readonly sources: Readonly<Record<string, TextSource>>;
      readonly tokenizer: string;
      readonly vocabSize: number;
    }
  | { readonly chunks: readonly string[]; readonly tokenizer: string };

export interface PrepareAnswer {
  readonly dir: string;
  readonly tokens: number;
  readonly seconds: number;
  readonly peakBytes: number;
}

const VOCAB_SIZE = 8192;
const FULL_BYTES = 1e9;
const QUICK_BYTES = 5e7;
/** Text that the library alone tokenizes. */
const ALONE_BYTES = 2e7;
const DEADLINE_MS = 3_600_000;

/** `locmoe train` on a text larger than its memory: speed against the tokenizer's own, and peak memory. */
export const preparePart: DoorPart = async (context) => {
  const { quick, workDir, log } = context;
  const documents = await realDocuments();
  const size = quick ? QUICK_BYTES : FULL_BYTES;
  const file = path.join(workDir, 'text.jsonl');
  log(`writing ${size / 1e6} MB of text`);
  await writeText(file, documents, size);
  const bytes = statSync(file).size;
  const sources = { text: textSourceSchema.parse({ folder: workDir, files: 'text.jsonl' }) };

  const first = textSourceSchema.parse({ folder: workDir, files: 'first.jsonl' });
  await writeText(path.join(workDir, 'first.jsonl'), documents, ALONE_BYTES / 2);
  const small = await run(
    {
      dataDir: path.join(workDir, 'small'),
      sources: { text: first },
      tokenizer: 'train',
      vocabSize: VOCAB_SIZE,
    },
    context,
  );
  const tokenizer = path.join(small.dir, 'tokenizer.json');
  const chunks = takeBytes(documents, ALONE_BYTES);
  const alone = await run({ chunks, tokenizer }, context);
  const aloneMBPerS = byteLength(chunks) / 1e6 / alone.seconds;
  const dataDir = path.join(workDir, 'data');
  const whole = await run({ dataDir, sources, tokenizer, vocabSize: VOCAB_SIZE }, context);
  const again = await run({ dataDir, sources, tokenizer, vocabSize: VOCAB_SIZE }, context);
  return {
    figures: {
      prepareMBPerS: round(bytes / 1e6 / whole.seconds),
      preparePeakMemoryMB: Math.round(whole.peakBytes / 1e6),
    },
    notes:
      `${Math.round(bytes / 1e6)} MB of JSON lines, the corpus repeated with a quarter of its words changed, on ` +
      `${availableParallelism()} processors: ${Math.round(whole.tokens / 1e6)} million tokens of ${VOCAB_SIZE} in ` +
      `${round(whole.seconds)} s. The tokenizer's library alone, on one processor, encodes ${round(aloneMBPerS)} MB/s ` +
      `of such text. Opening what is prepared takes ${round(again.seconds)} s. Training a tokenizer comes on top ` +
      `where none is given: ${round(small.seconds)} s with ${ALONE_BYTES / 2e6} MB of text prepared.`,
  };
};

function run(request: PrepareRequest, { signal }: PartPlace): Promise<PrepareAnswer> {
  const program = programBeside(import.meta.url, 'prepare.program');
  return askProgram(program, request, { signal, deadlineMs: DEADLINE_MS });
}

/** Text of every built-in domain that is written in letters. */
async function realDocuments(): Promise<string[]> {
  const options = {
    corpusDir: CORPUS_DIR,
    corpus: 'standard' as const,
    maxBytes: Number.POSITIVE_INFINITY,
    validationShare: 0.01,
  };
  const extracted = ['en', 'code', 'telecom'].map((domain) => extractDomain(domain, options));
  return (await Promise.all(extracted)).flatMap(({ train }) => train.map(({ text }) => text));
}

/** Writes the documents again and again; in each round every fourth word is another one of the text. */
async function writeText(file: string, documents: readonly string[], size: number): Promise<void> {
  const output = createWriteStream(file);
  const words = [
    ...new Set(
      documents
        .slice(0, 500)
        .join(' ')
        .match(/\p{L}{3,}/gu),
    ),
  ];
  let state = 1;
  const draw = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state;
  };
  for (let bytes = 0, i = 0; bytes < size; i++) {
    const document = documents[i % documents.length]!;
    const text =
      i < documents.length
        ? document
        : document.replace(/\p{L}{3,}/gu, (word) =>
            draw() >>> 30 === 0 ? words[draw() % words.length]! : word,
          );
    const line = `${JSON.stringify({ text })}\n`;
    bytes += Buffer.byteLength(line);
    if (!output.write(line)) await once(output, 'drain');
  }
  output.end();
  await finished(output);
}

function takeBytes(documents: readonly string[], size: number): string[] {
  const taken: string[] = [];
  for (let bytes = 0, i = 0; bytes < size; i++) {
    const document = documents[i % documents.length]!;
    taken.push(document);
    bytes += Buffer.byteLength(document);
  }
  return taken;
}

function byteLength(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
}

function round(value: number): number {
  return Number(value.toPrecision(3));
}
