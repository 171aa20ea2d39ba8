import { createHash } from 'node:crypto';
import { MANIFEST_FILE } from '@locmoe/run-format';
import type { Random } from './random.js';

/** The files of a checkpoint by name. */
export type Files = Map<string, Buffer>;

/** A change of a checkpoint. It may turn out to change nothing, e.g. where two equal files are swapped. */
export interface Mutation {
  readonly name: string;
  /** Whether hashes and checksum are recomputed afterwards, as a forger would. */
  readonly isForged: boolean;
  /** Whether a reader must refuse it. Otherwise the reader must load exactly what is in the files, or refuse. */
  readonly mustBeRefused: boolean;
  apply(files: Files, random: Random): void;
}

type Header = Record<string, { dtype: unknown; shape: unknown; data_offsets: unknown }>;
type Change = (random: Random, header: Header, name: string) => void;

const shards = (files: Files) => [...files.keys()].filter((file) => file.endsWith('.safetensors'));

function damage(name: string, change: (bytes: Buffer, random: Random) => Buffer): Mutation {
  return {
    name,
    isForged: false,
    mustBeRefused: false,
    apply(files, random) {
      const file = random.pick([...files.keys()]);
      files.set(file, change(files.get(file)!, random));
    },
  };
}

function flip(bytes: Buffer, at: number, random: Random): Buffer {
  const flipped = Buffer.from(bytes);
  if (bytes.length > 0) flipped[at]! ^= 1 << random.below(8);
  return flipped;
}

const DAMAGES: readonly Mutation[] = [
  damage('flip a bit', (bytes, random) => flip(bytes, random.below(bytes.length), random)),
  damage('truncate', (bytes, random) => bytes.subarray(0, random.below(bytes.length))),
  damage('extend', (bytes, random) => Buffer.concat([bytes, random.bytes(1 + random.below(64))])),
  damage('zero a block', (bytes, random) => {
    const at = random.below(bytes.length);
    return Buffer.from(bytes).fill(0, at, Math.min(at + 512, bytes.length));
  }),
  {
    name: 'swap two files',
    isForged: false,
    mustBeRefused: false,
    apply(files, random) {
      const [one, other] = [random.pick([...files.keys()]), random.pick([...files.keys()])];
      const bytes = files.get(one)!;
      files.set(one, files.get(other)!);
      files.set(other, bytes);
    },
  },
  {
    name: 'remove a file',
    isForged: false,
    mustBeRefused: true,
    apply: (files, random) => files.delete(random.pick([...files.keys()])),
  },
];

/** Rewrites a file and updates the manifest to match. */
function forge(files: Files, file: string, bytes: Buffer): void {
  files.set(file, bytes);
  const manifest = JSON.parse(files.get(MANIFEST_FILE)!.toString());
  manifest.files[file] = { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
  sign(files, manifest);
}

/** Stores a manifest with a recomputed checksum. */
function sign(files: Files, manifest: Record<string, unknown>): void {
  const { checksum: _, ...body } = manifest;
  const checksum = createHash('sha256').update(JSON.stringify(body)).digest('hex');
  files.set(MANIFEST_FILE, Buffer.from(JSON.stringify({ checksum, ...body })));
}

/** Header and data of a safetensors file. */
function split(bytes: Buffer): { text: string; data: Buffer } {
  const end = 8 + Number(bytes.readBigUInt64LE());
  return { text: bytes.subarray(8, end).toString(), data: bytes.subarray(end) };
}

function join(text: string | Buffer, data: Buffer, claimedBytes?: bigint): Buffer {
  const header = Buffer.from(text as string);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(claimedBytes ?? BigInt(header.length));
  return Buffer.concat([length, header, data]);
}

function forgedShard(
  name: string,
  mustBeRefused: boolean,
  change: (shard: { text: string; data: Buffer }, random: Random) => Buffer,
): Mutation {
  return {
    name,
    isForged: true,
    mustBeRefused,
    apply(files, random) {
      const file = random.pick(shards(files));
      forge(files, file, change(split(files.get(file)!), random));
    },
  };
}

const forgedHeader = (name: string, change: Change) =>
  forgedShard(name, true, ({ text, data }, random) => {
    const header = JSON.parse(text) as Header;
    change(random, header, random.pick(Object.keys(header)));
    return join(JSON.stringify(header), data);
  });

const offsetsOf = (header: Header, name: string) => header[name]!.data_offsets as number[];

const FORGED_SHARDS: readonly Mutation[] = [
  forgedShard('flip a bit of the header', false, ({ text, data }, random) => {
    const bytes = Buffer.from(text);
    return join(flip(bytes, random.below(bytes.length), random), data);
  }),
  forgedShard('flip a bit of the data', false, ({ text, data }, random) =>
    join(text, flip(data, random.below(data.length), random)),
  ),
  forgedShard('a number that is not finite', true, ({ text, data }, random) => {
    const changed = Buffer.from(data);
    const value = random.pick([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
    changed.writeFloatLE(value, 4 * random.below(data.length / 4));
    return join(text, changed);
  }),
  forgedShard('a header that claims too much', true, ({ text, data }, random) =>
    join(
      text,
      data,
      random.pick([2n ** 28n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 53n, BigInt(text.length + data.length + 1)]),
    ),
  ),
  forgedShard('a header that claims too little', true, ({ text, data }, random) =>
    join(text, data, BigInt(random.below(text.trimEnd().length))),
  ),
  forgedShard('a duplicate key', true, ({ text, data }, random) => {
    const header = JSON.parse(text) as Header;
    const name = random.pick(Object.keys(header));
    return join(`{${JSON.stringify(name)}:${JSON.stringify(header[name])},${text.slice(1)}`, data);
  }),
  forgedShard('a tensor that nobody asks for', false, ({ text, data }) => {
    const extra = { dtype: 'F32', shape: [1], data_offsets: [data.length, data.length + 4] };
    return join(
      `${text.trimEnd().slice(0, -1)},"extra":${JSON.stringify(extra)}}`,
      Buffer.concat([data, Buffer.alloc(4)]),
    );
  }),
  forgedShard('a file that is cut', true, ({ text, data }, random) =>
    join(text, data.subarray(0, random.below(data.length))),
  ),
  forgedShard('a file with more at its end', true, ({ text, data }, random) =>
    join(text, Buffer.concat([data, random.bytes(1 + random.below(64))])),
  ),
  forgedHeader('tensors that overlap', (_, header, name) => {
    const [begin, end] = offsetsOf(header, name) as [number, number];
    const by = begin === 0 ? 4 : -4;
    header[name]!.data_offsets = [begin + by, end + by];
  }),
  forgedHeader('offsets beyond the file', (random, header, name) => {
    const by = random.pick([2 ** 31, 2 ** 40, 2 ** 52, 2 ** 63]);
    header[name]!.data_offsets = offsetsOf(header, name).map((at) => at + by);
  }),
  forgedHeader('offsets that are none', (random, header, name) => {
    header[name]!.data_offsets = random.pick([[-4, 0], [4, 0], [0.5, 1], [0], ['0', '4'], null, {}]);
  }),
  forgedHeader('a shape of another size', (random, header, name) => {
    header[name]!.shape = random.pick([
      [2 ** 53],
      [2 ** 40, 2 ** 40],
      [0],
      [-8, -16],
      [1.5],
      [],
      ['8'],
      null,
    ]);
  }),
  forgedHeader('another type', (random, header, name) => {
    header[name]!.dtype = random.pick(['I32', 'F64', 'F16', 'BOOL', '', 'constructor', 4, null]);
  }),
  forgedHeader('another name', (_, header, name) => {
    header[`${name}x`] = header[name]!;
    delete header[name];
  }),
];

interface LooseManifest {
  [field: string]: unknown;
  readonly files: Record<string, unknown>;
  readonly tensors: Record<string, unknown>;
  readonly config: { readonly model: Record<string, unknown> };
}

/** Makes a mutation that lets `change` modify the manifest and then recomputes its checksum. */
function forgedManifest(
  name: string,
  mustBeRefused: boolean,
  change: (manifest: LooseManifest, random: Random) => void,
): Mutation {
  return {
    name: `a manifest with ${name}`,
    isForged: true,
    mustBeRefused,
    apply(files, random) {
      const manifest = JSON.parse(files.get(MANIFEST_FILE)!.toString());
      change(manifest, random);
      sign(files, manifest);
    },
  };
}

const FORGED_MANIFESTS: readonly Mutation[] = [
  forgedManifest('another step', false, (manifest, random) => {
    manifest.step = random.below(1000);
  }),
  forgedManifest('a step that is none', true, (manifest, random) => {
    manifest.step = random.pick([-1, 1.5, 2 ** 60, '7', null]);
  }),
  forgedManifest('another number of heads', true, ({ config }) => {
    config.model.numHeads = 2 * Number(config.model.numHeads);
  }),
  forgedManifest('a configuration that is none', true, (manifest, random) => {
    manifest.config.model.dModel = random.pick([0, -8, 2 ** 60, 'x', null]);
  }),
  forgedManifest('another tokenizer', true, (manifest) => {
    manifest.tokenizerSha256 = '0'.repeat(64);
  }),
  forgedManifest('a later format', true, (manifest) => {
    manifest.formatVersion = 2;
  }),
  forgedManifest('an unknown field', true, (manifest) => {
    manifest.extra = 1;
  }),
  forgedManifest('a file elsewhere', true, ({ tensors }, random) => {
    const elsewhere = ['../step-000001/shared.safetensors', '/etc/passwd', '', '.', '__proto__'];
    tensors[random.pick(Object.keys(tensors))] = random.pick(elsewhere);
  }),
  forgedManifest('a tensor in a file that does not hold it', true, ({ tensors }, random) => {
    const names = Object.keys(tensors);
    const one = random.pick(names);
    const other = random.pick(names.filter((name) => tensors[name] !== tensors[one]));
    tensors[one] = tensors[other];
  }),
  forgedManifest('a tensor that is missing', true, ({ tensors }, random) => {
    delete tensors[random.pick(Object.keys(tensors))];
  }),
  forgedManifest('a file that is not listed', true, ({ files }, random) => {
    delete files[random.pick(Object.keys(files))];
  }),
  forgedManifest('a file of another size', true, ({ files }, random) => {
    const file = random.pick(Object.keys(files));
    files[file] = { ...(files[file] as object), bytes: random.pick([0, 1, 2 ** 31, 2 ** 53 - 1, -1]) };
  }),
];

export const MUTATIONS: readonly Mutation[] = [...DAMAGES, ...FORGED_SHARDS, ...FORGED_MANIFESTS];
