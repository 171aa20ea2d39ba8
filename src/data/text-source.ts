import { z } from 'zod';

const FORMATS = ['text', 'jsonl'] as const;

/** Files of a user's own that make a domain. */
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
  field: z.string().min(1).default('text').describe('jsonl: the field that holds the text'),
  separator: z
    .string()
    .min(1)
    .optional()
    .describe('text: what stands between two documents; without it each file is one'),
});

type Fields = z.output<typeof textSourceSchema>;
export type TextSource = Readonly<Omit<Fields, 'files'>> & { readonly files: readonly string[] };
export type TextFormat = (typeof FORMATS)[number];

/** Names of domains become names of files and labels of metrics. */
export const DOMAIN_NAME = /^[\p{L}\p{N}][\p{L}\p{N}_.-]{0,39}$/u;
