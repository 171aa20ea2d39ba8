import path from 'node:path';
import { z } from 'zod';
import { type Instruct, instructSchema } from '../template.js';

const FORMATS = ['text', 'jsonl', 'csv', 'parquet'] as const;

/** Files of the user that form a domain. */
export const textSourceSchema = z.strictObject({
  folder: z
    .string()
    .default('.')
    .describe('where relative `files` begin; itself relative to the configuration file'),
  files: z
    .preprocess(
      (written) => (typeof written === 'string' ? [written] : written),
      z.array(z.string().min(1)).min(1),
    )
    .describe('file names or glob patterns, one or a list'),
  format: z.enum(FORMATS).optional().describe('by the extension of each file if not given'),
  field: z
    .string()
    .min(1)
    .default('text')
    .describe('jsonl, csv, parquet: the field or column that holds the text'),
  separator: z
    .string()
    .min(1)
    .optional()
    .describe('text: what stands between two documents; without it each file is one'),
  instruct: instructSchema
    .optional()
    .describe(
      'the files are JSON lines of questions and answers, `{prompt, completion}` or `{messages: [{role, content}]}`, and ' +
        'the loss is that of the answers alone; `{}` for the defaults',
    ),
});

type Fields = z.output<typeof textSourceSchema>;
export type TextSource = Readonly<Omit<Fields, 'files' | 'instruct'>> & {
  readonly files: readonly string[];
  readonly instruct?: Instruct | undefined;
};
export type TextFormat = (typeof FORMATS)[number];
export type Compression = 'gzip' | 'zstd' | null;

/** Names of domains are used as file names and metric labels. */
export const DOMAIN_NAME = /^[\p{L}\p{N}][\p{L}\p{N}_.-]{0,39}$/u;

const COMPRESSION_OF: Readonly<Record<string, Compression>> = { '.gz': 'gzip', '.zst': 'zstd' };
const FORMAT_OF: Readonly<Record<string, TextFormat>> = {
  '.jsonl': 'jsonl',
  '.ndjson': 'jsonl',
  '.csv': 'csv',
  '.tsv': 'csv',
  '.parquet': 'parquet',
};
/** Estimated ratio of the text of a compressed file to its stored bytes. */
const EXPANSION = 3;

/** Tells how to read a file, by its name; a format given by the source takes precedence. */
export function layoutOf(
  file: string,
  { format }: Pick<TextSource, 'format'>,
): { readonly format: TextFormat; readonly compression: Compression } {
  const last = path.extname(file);
  const compression = COMPRESSION_OF[last] ?? null;
  const extension = compression === null ? last : path.extname(path.basename(file, last));
  return { format: format ?? FORMAT_OF[extension] ?? 'text', compression };
}

/** Returns the bytes of text in a file: an estimate if it is compressed, as Parquet is, else its stored bytes. */
export function textBytes(
  { file, bytes }: { readonly file: string; readonly bytes: number },
  source: Pick<TextSource, 'format'>,
): number {
  const { format, compression } = layoutOf(file, source);
  return compression === null && format !== 'parquet' ? bytes : EXPANSION * bytes;
}
