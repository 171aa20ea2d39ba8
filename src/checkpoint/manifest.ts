import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { type RunConfig, runSchema } from '../config/schema.js';
import { TrainerError } from '../errors.js';
import { readRegularFile } from '../os/regular-file.js';
import { type FileDigest, writeDurably } from './durable.js';

export const MANIFEST_FILE = 'manifest.json';
export const TOKENIZER_FILE = 'tokenizer.json';

const count = z.number().int().min(0);
const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 in hex');
// A plain name: a manifest must not lead a reader out of its folder.
const fileName = z.string().regex(/^[a-z0-9][a-z0-9.-]*$/, 'a plain file name');

const manifestShape = z.strictObject({
  formatVersion: z.literal(1),
  runId: z.string().min(1),
  step: count,
  generation: count,
  config: runSchema,
  world: z.strictObject({ nodes: count.min(1), workersPerNode: count.min(1) }),
  tokenizerSha256: sha256Hex,
  data: z.strictObject({ nextStep: count }),
  metrics: z.record(z.string(), z.number()),
  files: z.record(fileName, z.strictObject({ bytes: count, sha256: sha256Hex })),
  tensors: z.record(z.string(), fileName),
});
const manifestSchema = manifestShape.refine(
  ({ files, tensors }) =>
    [TOKENIZER_FILE, ...Object.values(tensors)].every((file) => Object.hasOwn(files, file)),
  'a tensor or the tokenizer is in a file that is not listed',
);

/** Contents and origin of a checkpoint. It is written last: a folder without one is not a checkpoint. */
export interface Manifest {
  readonly formatVersion: 1;
  readonly runId: string;
  /** Number of updates done. */
  readonly step: number;
  /** Generation of the run that wrote it. */
  readonly generation: number;
  readonly config: RunConfig;
  /** Layout of the ranks that wrote it; any other can read it. */
  readonly world: { readonly nodes: number; readonly workersPerNode: number };
  readonly tokenizerSha256: string;
  readonly data: { readonly nextStep: number };
  readonly metrics: Readonly<Record<string, number>>;
  readonly files: Readonly<Record<string, FileDigest>>;
  /** File that holds each tensor, by global tensor name. */
  readonly tensors: Readonly<Record<string, string>>;
}

/**
 * Writes the manifest with a checksum of its own.
 *
 * @throws TrainerError `INTERNAL` if `readManifest` would not accept it (e.g. a metric is NaN), `DISK_FULL`
 */
export function writeManifest(folder: string, manifest: Manifest): void {
  const checked = manifestSchema.safeParse(manifest);
  if (!checked.success)
    throw new TrainerError('INTERNAL', `cannot save this manifest: ${issuesOf(checked.error)}`);
  const text = JSON.stringify({ checksum: checksumOf(checked.data), ...checked.data }, null, 1);
  writeDurably(join(folder, MANIFEST_FILE), [Buffer.from(`${text}\n`)]);
}

/** @throws TrainerError `BAD_CHECKPOINT` if the manifest is missing, damaged or of another format version */
export function readManifest(folder: string): Manifest {
  const path = join(folder, MANIFEST_FILE);
  const fail = (what: string) => new TrainerError('BAD_CHECKPOINT', `${path} ${what}`);
  let stored: { checksum?: unknown; formatVersion?: unknown };
  try {
    stored = Object(JSON.parse(readRegularFile(path).toString()));
  } catch (error) {
    throw fail(`cannot be read: ${(error as Error).message}`);
  }
  const { checksum, ...body } = stored;
  const expected = checksumOf(body);
  if (checksum !== expected)
    throw fail(`is damaged: its checksum is ${JSON.stringify(checksum)}, its content gives ${expected}`);
  if (body.formatVersion !== 1)
    throw fail(`has format version ${JSON.stringify(body.formatVersion)}, this program reads version 1`);
  const checked = manifestSchema.safeParse(body);
  if (!checked.success) throw fail(`is not valid: ${issuesOf(checked.error)}`);
  return checked.data;
}

/** The generation in a folder's manifest, of which nothing else is checked; null if it cannot be read. */
export function generationOf(folder: string): number | null {
  try {
    const { generation } = Object(JSON.parse(readRegularFile(join(folder, MANIFEST_FILE)).toString()));
    return Number.isSafeInteger(generation) ? generation : null;
  } catch {
    return null;
  }
}

function checksumOf(body: unknown): string {
  return createHash('sha256').update(JSON.stringify(body)).digest('hex');
}

function issuesOf(error: z.ZodError): string {
  return error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
}
