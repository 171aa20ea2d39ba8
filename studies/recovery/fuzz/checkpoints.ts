import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type FileDigest, MANIFEST_FILE, stepFolder, TOKENIZER_FILE } from '@locmoe/run-format';
import { resolveCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { writeDurably } from 'locmoe/internal/checkpoint/durable';
import { assertFits } from 'locmoe/internal/checkpoint/fits';
import { type Manifest, writeManifest } from 'locmoe/internal/checkpoint/manifest';
import { writeSafetensors } from 'locmoe/internal/checkpoint/safetensors';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { TrainerError } from 'locmoe/internal/errors';
import { type Files, MUTATIONS, type Mutation } from './checkpoint-mutations.js';
import { Random } from './random.js';

const SHAPE = [8, 16];
const TENSORS = Array.from({ length: 16 }, (_, i) => `layers.${i >> 1}.w_${i % 2}`);
const NUM_SHARDS = 4;
const CASE_MS = 2000;
/** What a reader may allocate beside the files' own size. */
const SPARE_BYTES = 1 << 20;

const config = loadConfig('tiny', { nodes: 1, workersPerNode: 1 });

/** Bytes of a checkpoint's tensors, by name. */
type Content = ReadonlyMap<string, Buffer>;

function contentOf(step: number): Content {
  return new Map(
    TENSORS.map((name, i) => [
      name,
      Buffer.from(new Float32Array(128).map((_, at) => step + i + at / 128).buffer),
    ]),
  );
}

/** Saves a checkpoint in `root` as a training does. */
function save(root: string, step: number): Manifest {
  const folder = stepFolder(root, step);
  mkdirSync(folder, { recursive: true });
  const files: Record<string, FileDigest> = {};
  const tensors: Record<string, string> = {};
  files[TOKENIZER_FILE] = writeDurably(path.join(folder, TOKENIZER_FILE), [
    Buffer.from('{"version":"1.0"}\n'),
  ]);
  const content = [...contentOf(step)];
  for (let shard = 0; shard < NUM_SHARDS; shard++) {
    const file = `shard-${shard}.safetensors`;
    const own = content.filter((_, i) => i % NUM_SHARDS === shard);
    files[file] = writeSafetensors(
      path.join(folder, file),
      own.map(([name, { buffer }]) => ({ name, shape: SHAPE, data: new Float32Array(buffer) })),
    );
    for (const [name] of own) tensors[name] = file;
  }
  const manifest: Manifest = {
    formatVersion: 1 as const,
    runId: 'fuzz',
    step,
    generation: 1,
    config,
    files,
    tensors,
    world: { nodes: 1, workersPerNode: 1 },
    tokenizerSha256: files[TOKENIZER_FILE].sha256,
    data: { nextStep: step },
    metrics: {},
  };
  writeManifest(folder, manifest);
  return manifest;
}

/**
 * Reads a mutated checkpoint without any check.
 *
 * @returns null if that is impossible
 */
function trustingly(files: Files): Content | null {
  try {
    return new Map(
      TENSORS.map((name) => {
        const manifest = JSON.parse(files.get(MANIFEST_FILE)!.toString());
        const bytes = files.get(manifest.tensors[name])!;
        const start = 8 + Number(bytes.readBigUInt64LE());
        const [begin, end] = JSON.parse(bytes.subarray(8, start).toString())[name].data_offsets;
        return [name, bytes.subarray(start + begin, start + end)];
      }),
    );
  } catch {
    return null;
  }
}

const isSame = (one: Content, other: Content | null) =>
  other !== null && TENSORS.every((name) => one.get(name)!.equals(other.get(name)!));

/** Loads as a resumed run does: finds the newest valid checkpoint and reads all of it. */
function load(root: string, tokenizerSha256: string, warnings: string[]) {
  const checkpoint = resolveCheckpoint(root, (message) => warnings.push(message));
  assertFits(checkpoint, config, 'resume', tokenizerSha256);
  const content = new Map(
    TENSORS.map((name) => [name, Buffer.from(checkpoint.read(name, SHAPE).buffer)] as const),
  );
  return { folder: checkpoint.folder, content };
}

/**
 * Mutates a checkpoint, which has an intact predecessor, in `count` ways, and loads it as a resumed run would. Each
 * time it must be refused by name, passed over for its predecessor with a warning, or loaded with exactly the values in
 * its files.
 *
 * @returns a line for each violation
 */
export function fuzzCheckpointFiles(count: number, seed: number): string[] {
  const root = mkdtempSync(path.join(tmpdir(), 'locmoe-fuzz-checkpoints-'));
  try {
    const { tokenizerSha256 } = save(root, 1);
    save(root, 2);
    // A reader that refuses every checkpoint would pass nearly every case below.
    load(root, tokenizerSha256, []);
    const newest = stepFolder(root, 2);
    const original: Files = new Map(
      readdirSync(newest).map((file) => [file, readFileSync(path.join(newest, file))]),
    );
    const failures: string[] = [];
    for (let numCase = 0; numCase < count; numCase++) {
      const random = new Random(seed, numCase);
      const mutation = MUTATIONS[numCase % MUTATIONS.length]!;
      const files = new Map(original);
      mutation.apply(files, random);
      rmSync(newest, { recursive: true });
      mkdirSync(newest);
      for (const [file, bytes] of files) writeFileSync(path.join(newest, file), bytes);
      const problem = problemOf(root, tokenizerSha256, mutation, files, original);
      if (problem !== null) failures.push(`case ${numCase} of seed ${seed}, ${mutation.name}: ${problem}`);
    }
    return failures;
  } finally {
    rmSync(root, { recursive: true });
  }
}

/** What is wrong with how a mutated checkpoint is loaded; null if nothing is. */
function problemOf(
  root: string,
  tokenizerSha256: string,
  { isForged, mustBeRefused }: Mutation,
  files: Files,
  original: Files,
): string | null {
  const newest = stepFolder(root, 2);
  const warnings: string[] = [];
  const start = performance.now();
  const before = process.memoryUsage().arrayBuffers;
  const fileBytes = [...files.values()].reduce((sum, { length }) => sum + length, 0);
  const isIntact =
    files.size === original.size && [...files].every(([file, bytes]) => original.get(file)?.equals(bytes));
  try {
    const loaded = load(root, tokenizerSha256, warnings);
    if (loaded.folder !== newest) {
      if (isIntact) return 'an intact checkpoint was passed over';
      if (!isSame(loaded.content, contentOf(1))) return 'the checkpoint before it has other values';
      if (warnings.length !== 1 || !warnings[0]!.includes(newest)) return `no warning: ${warnings}`;
    } else if (mustBeRefused) return 'it was taken';
    else if (!isForged && !isIntact) return 'damage was not noticed';
    else if (!isSame(loaded.content, trustingly(files)))
      return 'other values were loaded than are in its files';
  } catch (error) {
    // Another configuration than the run's, in a manifest that is otherwise sound.
    const isRefused = error instanceof TrainerError && ['BAD_CHECKPOINT', 'BAD_CONFIG'].includes(error.code);
    if (!isRefused) return `foreign error: ${error}`;
    if (!error.message.includes(newest)) return `the error does not name it: ${error.message}`;
    if (isIntact) return `an intact checkpoint was refused: ${error.message}`;
  }
  const ms = performance.now() - start;
  if (ms > CASE_MS) return `it took ${Math.round(ms)} ms`;
  const allocated = process.memoryUsage().arrayBuffers - before;
  if (allocated > 4 * fileBytes + SPARE_BYTES) return `${allocated} bytes were allocated for ${fileBytes}`;
  return null;
}
