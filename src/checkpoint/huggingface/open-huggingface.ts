import { existsSync } from 'node:fs';
import path from 'node:path';
import { MANIFEST_FILE, TOKENIZER_FILE } from '@locmoe/run-format';
import { llamaModel } from '../../config/model-schema.js';
import { TrainerError } from '../../errors.js';
import { digestFile } from '../../sha256.js';
import { firstNotFinite } from '../floats.js';
import type { Manifest } from '../manifest.js';
import { ADAPTER_CONFIG, openAdapter } from './adapter.js';
import { absentTensors, type Counterpart, counterparts, transpose } from './counterparts.js';
import { CONFIG_FILE, type Published, readPublishedConfig } from './published-config.js';
import { PublishedTensors } from './published-tensors.js';

/** Tensors of rotary frequencies, which files from before 2023 have. */
const DERIVED = /\.rotary_emb\.inv_freq$/;

/** Files that only locmoe's folders hold; a run folder has a config.json as well. */
const OF_OURS = [MANIFEST_FILE, 'run.json', 'metrics.ndjson', 'checkpoints'];

/** Tells whether a folder has a model for transformers, or an adapter to one, and is not one of locmoe's folders. */
export function isHuggingFace(folder: string): boolean {
  const has = (name: string) => existsSync(path.join(folder, name));
  return (has(CONFIG_FILE) || has(ADAPTER_CONFIG)) && !OF_OURS.some(has);
}

/**
 * Opens a HuggingFace folder as a checkpoint with the weights of a model of family llama: config.json, tokenizer.json, and
 * model.safetensors or the files that its index names. File headers are checked at once, values when they are read. A folder of a
 * LoRA adapter, as PEFT writes it, is opened as its base model with the products of the pairs added.
 *
 * @throws TrainerError `BAD_INPUT` or `BAD_CONFIG` naming the file and the field or tensor that is missing,
 *   wrong or not supported
 */
export function openHuggingFace(folder: string) {
  const adapter = openAdapter(folder);
  const base = adapter?.base ?? folder;
  const published = readPublishedConfig(base);
  const tensors = new PublishedTensors(base);
  const known = new Map(
    counterparts(published.config, published.architecture).map((each) => [each.own, each]),
  );
  assertSame(tensors, [...known.values()], published, base);
  adapter?.check(matricesOf([...known.values()]));
  const counterpart = (name: string): Counterpart => {
    const found = known.get(name);
    if (found === undefined) throw bad(`${folder} has no tensor for parameter ${name}`);
    return found;
  };
  return {
    folder,
    manifest: manifestOf(folder, base, published, known, tensors),
    tokenizerFile: path.join(base, TOKENIZER_FILE),
    has: (name: string) => known.has(name),
    read(name: string, shape?: readonly number[]): Float32Array {
      const { shape: own, published: theirs, isTransposed, factor } = counterpart(name);
      if (shape !== undefined && String(shape) !== String(own))
        throw bad(`${folder}: tensor ${theirs} gives ${name} the shape [${own}], expected [${shape}]`);
      const published = isTransposed ? own.toReversed() : own;
      const read = tensors.read(theirs, published);
      adapter?.addTo(read, theirs, published);
      const at = firstNotFinite(read);
      if (at >= 0) throw bad(`${folder}: tensor ${theirs} holds ${read[at]} at element ${at}`);
      const values = isTransposed ? transpose(read, [own[1]!, own[0]!]) : read;
      return factor === 1 ? values : values.map((value) => value / factor);
    },
  };
}

/** Checks that every parameter is there, and that no further tensor has an effect. */
function assertSame(
  tensors: PublishedTensors,
  known: readonly Counterpart[],
  { config, architecture, sharedWidth }: Published,
  folder: string,
): void {
  for (const { published, shape, isTransposed } of known)
    tensors.check(published, isTransposed ? shape.toReversed() : shape);
  const absent = absentTensors(config, architecture, sharedWidth).filter(({ published }) =>
    tensors.has(published),
  );
  for (const { published, shape } of absent)
    if (tensors.read(published, shape).some((value) => value !== 0))
      throw bad(`${folder}: tensor ${published} is not all 0, and models of family llama have no such part`);
  const places = new Set([...known, ...absent].map(({ published }) => published));
  // With a tied embedding, `lm_head.weight` is a copy of it.
  if (llamaModel(config.model).tiedEmbedding) places.add('lm_head.weight');
  for (const name of tensors.names)
    if (!places.has(name) && !DERIVED.test(name))
      throw bad(`${folder}: models of family llama have no place for tensor ${name}`);
}

/** Returns the matrices that may have a pair, [outputs, inputs]: a pair of the embedding has another form. */
function matricesOf(known: readonly Counterpart[]): ReadonlyMap<string, readonly number[]> {
  return new Map(
    known
      .filter(({ own, shape }) => shape.length === 2 && own !== 'embed.tokens')
      .map(({ published, shape, isTransposed }) => [published, isTransposed ? shape.toReversed() : shape]),
  );
}

function manifestOf(
  folder: string,
  base: string,
  { config }: Published,
  known: ReadonlyMap<string, Counterpart>,
  tensors: PublishedTensors,
): Manifest {
  return {
    formatVersion: 1,
    runId: path.basename(path.resolve(folder)),
    step: 0,
    generation: 0,
    config,
    world: { nodes: 1, workersPerNode: 1 },
    tokenizerSha256: digestFile(path.join(base, TOKENIZER_FILE)).sha256,
    data: { nextStep: 0 },
    metrics: {},
    files: {},
    tensors: Object.fromEntries([...known].map(([name, { published }]) => [name, tensors.fileOf(published)])),
  };
}

function bad(message: string): TrainerError {
  return new TrainerError('BAD_INPUT', message);
}
