import { createHash } from 'node:crypto';
import { basename, join } from 'node:path';
import { z } from 'zod';
import type { DeepReadonly } from './deep-readonly.js';
import { TrainerError } from './errors.js';
import { readRegularFile } from './regular-file.js';

export const MANIFEST_FILE = 'manifest.json';
export const TOKENIZER_FILE = 'tokenizer.json';

const count = z.number().int().min(0);
const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 in hex');
// Only a plain name is allowed: a manifest must not lead a reader out of its folder.
const fileName = z.string().regex(/^[a-z0-9][a-z0-9.-]*$/, 'a plain file name');

const shape = z.strictObject({
  formatVersion: z.literal(1),
  runId: z.string().min(1),
  /** Number of updates done. */
  step: count,
  /** Generation of the run that wrote it. */
  generation: count,
  /** The trainer's configuration, whose schema is not known here. */
  config: z.unknown(),
  /** Layout of the ranks that wrote the checkpoint; ranks of any other layout can read it. */
  world: z.strictObject({ nodes: count.min(1), workersPerNode: count.min(1) }),
  tokenizerSha256: sha256Hex,
  data: z.strictObject({ nextStep: count }),
  metrics: z.record(z.string(), z.number()),
  files: z.record(fileName, z.strictObject({ bytes: count, sha256: sha256Hex })),
  /** File that holds each tensor, by global tensor name. */
  tensors: z.record(z.string(), fileName),
});

/** Contents and origin of a checkpoint. It is written last: a folder without one is not a checkpoint. */
export type Manifest<Config> = DeepReadonly<Omit<z.output<typeof shape>, 'config'>> & {
  readonly config: Config;
};

/** Size of a file and SHA-256 of its bytes in hex. */
export type FileDigest = Manifest<unknown>['files'][string];

function check<Config>(manifest: unknown, config: z.ZodType<Config>) {
  const schema = shape
    .extend({ config })
    .refine(
      ({ files, tensors }) =>
        [TOKENIZER_FILE, ...Object.values(tensors)].every((file) => Object.hasOwn(files, file)),
      'a tensor or the tokenizer is in a file that is not listed',
    );
  return schema.safeParse(manifest) as z.ZodSafeParseResult<Manifest<Config>>;
}

/**
 * Returns the text of a manifest, including a checksum of the manifest itself.
 *
 * @throws TrainerError `INTERNAL` if `readManifest` would not accept it (e.g. a metric is NaN)
 */
export function encodeManifest<Config>(manifest: Manifest<Config>, config: z.ZodType<Config>): string {
  const checked = check(manifest, config);
  if (!checked.success)
    throw new TrainerError('INTERNAL', `cannot save this manifest: ${issuesOf(checked.error)}`);
  return `${JSON.stringify({ checksum: checksumOf(checked.data), ...checked.data }, null, 1)}\n`;
}

/**
 * @param config schema of the configuration in it
 * @throws TrainerError `BAD_CHECKPOINT` if the manifest is missing, damaged or of another format version
 */
export function readManifest<Config>(folder: string, config: z.ZodType<Config>): Manifest<Config> {
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
    throw fail(
      `has format version ${JSON.stringify(body.formatVersion)}, this program reads version 1: use the locmoe that wrote it`,
    );
  const checked = check(body, config);
  if (!checked.success) throw fail(`is not valid: ${issuesOf(checked.error)}`);
  return checked.data;
}

/** Returns the generation in a folder's manifest, without any other check; null if it cannot be read. */
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

/** The name of a committed checkpoint, or of one that is about to be removed or replaced. */
const COMMITTED = /^step-(\d{6,})(?:\.replaced-\d+)?$/;

/** @param root folder of the run's checkpoints */
export function stepFolder(root: string, step: number): string {
  return join(root, `step-${String(step).padStart(6, '0')}`);
}

/** Returns the step in a committed folder's name; NaN for another name. */
export function stepOf(folder: string): number {
  return Number(COMMITTED.exec(basename(folder))?.[1]);
}
