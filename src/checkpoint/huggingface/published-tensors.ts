import { existsSync } from 'node:fs';
import path from 'node:path';
import { readRegularFile } from '@locmoe/run-format/regular-file';
import { z } from 'zod';
import { TrainerError } from '../../errors.js';
import { readSafetensorsHeader, readTensor, type SafetensorsHeader } from '../safetensors.js';
import { fromBfloat16, fromFloat16 } from './half-floats.js';
import { CONFIG_FILE } from './published-config.js';

const WHOLE_FILE = 'model.safetensors';
const INDEX_FILE = 'model.safetensors.index.json';
/** Limit on the size of the index, far more than the names of any model take. */
const MAX_INDEX_BYTES = 2 ** 28;

const indexSchema = z.object({
  weight_map: z.record(z.string(), z.string().regex(/^[^/\\]+$/, 'must be the name of a file')),
});

const FLOATS = { F32: (data: Float32Array) => data, BF16: fromBfloat16, F16: fromFloat16 } as const;

/** The tensors of a HuggingFace folder, or of its adapter. */
export class PublishedTensors {
  readonly #headers: ReadonlyMap<string, SafetensorsHeader>;

  /** @throws TrainerError `BAD_INPUT` naming the file, or the tensor, that is missing or damaged */
  constructor(
    private readonly folder: string,
    file = WHOLE_FILE,
    private readonly describedBy = CONFIG_FILE,
  ) {
    this.#headers = headersOf(folder, file);
  }

  get names(): Iterable<string> {
    return this.#headers.keys();
  }

  has(name: string): boolean {
    return this.#headers.has(name);
  }

  /** @throws TrainerError `BAD_INPUT` if there is no such tensor, or it has another shape or type */
  check(name: string, shape: readonly number[]): SafetensorsHeader {
    const header = this.#headers.get(name);
    if (header === undefined) throw bad(`${this.folder} has no tensor ${name}`);
    const { shape: found, dtype } = header.tensors.get(name)!;
    if (String(found) !== String(shape))
      throw bad(
        `${header.path}: tensor ${name} has shape [${found}], its ${this.describedBy} says [${shape}]`,
      );
    if (!Object.hasOwn(FLOATS, dtype))
      throw bad(
        `${header.path}: tensor ${name} is of type ${dtype}, not one of ${Object.keys(FLOATS).join(', ')}`,
      );
    return header;
  }

  /**
   * Returns the values as float32, row-major.
   *
   * @throws TrainerError as `check`
   */
  read(name: string, shape: readonly number[]): Float32Array {
    const header = this.check(name, shape);
    const { data } = readTensor(header, name);
    const { dtype } = header.tensors.get(name)!;
    return FLOATS[dtype as keyof typeof FLOATS](data as Float32Array & Uint16Array);
  }

  fileOf(name: string): string {
    return path.basename(this.#headers.get(name)!.path);
  }
}

/** Returns the header of the file that holds each tensor, by the tensor's name. */
function headersOf(folder: string, whole: string): Map<string, SafetensorsHeader> {
  const index = path.join(folder, INDEX_FILE);
  if (whole !== WHOLE_FILE || !existsSync(index)) {
    const or = whole === WHOLE_FILE ? `, or with ${INDEX_FILE}` : '';
    const header = headerOf(path.join(folder, whole), `give a folder with it${or}`);
    return new Map([...header.tensors.keys()].map((name) => [name, header]));
  }
  const fileOf = readIndex(index);
  const files = [...new Set(Object.values(fileOf))];
  const headers = new Map(
    files.map((file) => [file, headerOf(path.join(folder, file), `${INDEX_FILE} names it`)]),
  );
  return new Map(
    Object.entries(fileOf).map(([name, file]) => {
      const header = headers.get(file)!;
      if (!header.tensors.has(name))
        throw bad(`${header.path} has no tensor ${name}, which ${INDEX_FILE} says is in it`);
      return [name, header];
    }),
  );
}

function readIndex(index: string): Readonly<Record<string, string>> {
  try {
    return indexSchema.parse(JSON.parse(readRegularFile(index, MAX_INDEX_BYTES).toString('utf8'))).weight_map;
  } catch (error) {
    throw new TrainerError(
      'BAD_INPUT',
      `${index}: no weight_map with the file of each tensor`,
      {},
      { cause: error },
    );
  }
}

function headerOf(file: string, why: string): SafetensorsHeader {
  if (!existsSync(file)) throw bad(`${file} is missing: ${why}`);
  try {
    return readSafetensorsHeader(file);
  } catch (error) {
    throw new TrainerError('BAD_INPUT', (error as Error).message, {}, { cause: error });
  }
}

function bad(message: string): TrainerError {
  return new TrainerError('BAD_INPUT', message);
}
