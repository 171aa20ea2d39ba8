import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import {
  readSafetensorsHeader,
  readTensor,
  type StoredTensor,
  writeSafetensors,
} from '../../src/checkpoint/safetensors.js';
import { TrainerError } from '../../src/errors.js';
import { digestFile } from '../../src/sha256.js';
import { randomOf } from '../random.js';

const folder = mkdtempSync(join(tmpdir(), 'locmoe-safetensors-'));
const path = join(folder, 'a.safetensors');
afterAll(() => rmSync(folder, { recursive: true }));

const tensors: StoredTensor[] = [
  { name: 'w', shape: [2, 3], data: Float32Array.of(1, -0, 3.5, Number.NaN, Infinity, 1e-45) },
  { name: 'empty', shape: [0, 4], data: new Float32Array(0) },
  { name: 'scalar', shape: [], data: Float32Array.of(7) },
  { name: 'big', shape: [2], data: BigInt64Array.of(-1n, 2n ** 62n) },
  { name: 'ids', shape: [3], data: Int32Array.of(-1, 0, 2 ** 31 - 1) },
  { name: '名 "quoted"', shape: [5], data: Uint8Array.of(1, 2, 3, 4, 255) },
];

/** A file made by hand from a header and data, independent of the writer. */
function rawFile(header: string, dataBytes: number): string {
  const text = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(path, Buffer.concat([length, text, Buffer.alloc(dataBytes)]));
  return path;
}

function bytesOf(tensor: StoredTensor): Buffer {
  return Buffer.from(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
}

function codeOf(run: () => unknown): string {
  try {
    run();
    return 'no error';
  } catch (error) {
    return error instanceof TrainerError ? `${error.code} ${error.message}` : `foreign: ${error}`;
  }
}

test('what is written comes back bit for bit, and the digest is that of the file', () => {
  const digest = writeSafetensors(path, tensors, { step: '3' });
  const file = readFileSync(path);
  expect(digest).toEqual({ bytes: file.length, sha256: createHash('sha256').update(file).digest('hex') });
  const header = readSafetensorsHeader(path);
  expect(header.metadata).toEqual({ step: '3' });
  expect([...header.tensors.keys()].sort()).toEqual(tensors.map(({ name }) => name).sort());
  for (const tensor of tensors) {
    const back = readTensor(header, tensor.name);
    expect(back.shape).toEqual(tensor.shape);
    expect(back.data.constructor).toBe(tensor.data.constructor);
    expect(bytesOf(back).equals(bytesOf(tensor))).toBe(true);
  }
});

test('a view into a larger array is written as the view', () => {
  const all = Float32Array.from({ length: 100 }, (_, i) => i);
  writeSafetensors(path, [{ name: 'v', shape: [10], data: all.subarray(20, 30) }]);
  expect([...readTensor(readSafetensorsHeader(path), 'v').data]).toEqual([
    20, 21, 22, 23, 24, 25, 26, 27, 28, 29,
  ]);
});

test('the layout is that of the reference writer, byte for byte: widest type first, then by name', () => {
  writeSafetensors(path, tensors.slice(1));
  const header =
    '{"big":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},' +
    '"empty":{"dtype":"F32","shape":[0,4],"data_offsets":[16,16]},' +
    '"ids":{"dtype":"I32","shape":[3],"data_offsets":[16,28]},' +
    '"scalar":{"dtype":"F32","shape":[],"data_offsets":[28,32]},' +
    '"名 \\"quoted\\"":{"dtype":"U8","shape":[5],"data_offsets":[32,37]}}';
  const padding = ' '.repeat(7 - ((Buffer.byteLength(header) + 7) % 8));
  const headerBytes = Buffer.from(header + padding);
  const data =
    'ffffffffffffffff' + // -1
    '0000000000000040' + // 2^62
    'ffffffff00000000ffffff7f' + // -1, 0, 2^31 - 1
    '0000e040' + // 7
    '01020304ff';
  const file = readFileSync(path).toString('hex');
  expect(headerBytes.length % 8).toBe(0);
  expect(file).toBe(
    `${headerBytes.length
      .toString(16)
      .padStart(4, '0')
      .replace(/(..)(..)/, '$2$1')}000000000000${headerBytes.toString('hex')}${data}`,
  );
});

const f32 = (offsets: string, shape = '[2]', dtype = '"F32"') =>
  `{"dtype":${dtype},"shape":${shape},"data_offsets":${offsets}}`;

test.each<[string, string, number, RegExp]>([
  [
    'overlap',
    `{"a":${f32('[0,8]')},"b":${f32('[4,12]')}}`,
    12,
    /tensor b: expected to begin at byte \d+, begins at/,
  ],
  ['hole', `{"a":${f32('[0,8]')},"b":${f32('[12,20]')}}`, 20, /tensor b: expected to begin/],
  [
    'two tensors on the same bytes',
    `{"a":${f32('[0,8]')},"b":${f32('[0,8]')}}`,
    8,
    /tensor b: expected to begin/,
  ],
  ['data left over', `{"a":${f32('[0,8]')}}`, 9, /expected \d+ bytes, found/],
  ['data missing', `{"a":${f32('[0,8]')}}`, 7, /expected \d+ bytes, found/],
  ['duplicate name', `{"a":${f32('[0,8]')},"a":${f32('[8,16]')}}`, 16, /key "a" twice/],
  ['duplicate name, escaped', `{"a":${f32('[0,8]')},"\\u0061":${f32('[8,16]')}}`, 16, /twice/],
  [
    'duplicate field',
    '{"a":{"dtype":"F32","shape":[9],"shape":[2],"data_offsets":[0,8]}}',
    8,
    /key "shape" twice/,
  ],
  ['shape against size', `{"a":${f32('[0,8]', '[3]')}}`, 8, /tensor a: F32 of shape \[3\] takes 12 bytes/],
  ['shape bomb', `{"a":${f32('[0,8]', '[4294967296,4294967296,4294967296]')}}`, 8, /tensor a: F32 of shape/],
  ['size bomb', `{"a":${f32('[0,4e15]', '[1e15]')}}`, 8, /expected 4000000000000\d+ bytes, found/],
  ['negative size', `{"a":${f32('[0,8]', '[-2]')}}`, 8, /shape \[-2\]/],
  ['negative offset', `{"a":${f32('[-8,0]')}}`, 8, /data_offsets \[-8,0\]/],
  ['offsets reversed', `{"a":${f32('[8,0]')}}`, 8, /data_offsets/],
  ['fraction', `{"a":${f32('[0,8]', '[0.5]')}}`, 8, /shape/],
  ['unknown type', `{"a":${f32('[0,8]', '[2]', '"F33"')}}`, 8, /type "F33" is not one of F32/],
  ['inherited property as type', `{"a":${f32('[0,8]', '[2]', '"constructor"')}}`, 8, /type "constructor"/],
  ['not an object', '{"a":[1]}', 0, /tensor a: its entry/],
  ['metadata not strings', '{"__metadata__":{"x":1}}', 0, /__metadata__/],
  ['array', '[]', 0, /start with "\{"/],
  ['leading space', ' {}', 0, /start with "\{"/],
  ['cut JSON', '{"a":', 0, /not JSON/],
  ['padding of NUL', '{}\0\0\0\0\0\0', 0, /not JSON/],
])('refused: %s', (_, header, dataBytes, message) => {
  rawFile(header, dataBytes);
  expect(codeOf(() => readSafetensorsHeader(path))).toMatch(message);
  expect(codeOf(() => readSafetensorsHeader(path))).toContain(`BAD_CHECKPOINT ${path} is damaged`);
});

test.each([8n, 100_000_001n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n])(
  'refused: a header of %s bytes',
  (claim) => {
    const bytes = Buffer.alloc(15, '{');
    bytes.writeBigUInt64LE(claim);
    writeFileSync(path, bytes);
    expect(codeOf(() => readSafetensorsHeader(path))).toMatch(/BAD_CHECKPOINT .*claims \d+ bytes, at most 7/);
  },
);

test('refused: a file shorter than a header length, and text that is not UTF-8', () => {
  writeFileSync(path, Buffer.alloc(7));
  expect(codeOf(() => readSafetensorsHeader(path))).toMatch(/BAD_CHECKPOINT .*at least 8 bytes, found 7/);
  writeFileSync(path, Buffer.from([3, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0xff, 0x7d]));
  expect(codeOf(() => readSafetensorsHeader(path))).toMatch(/BAD_CHECKPOINT .*not UTF-8/);
});

test('keys that objects treat specially are tensors like any other', () => {
  rawFile(`{"__proto__":${f32('[0,8]')},"constructor":${f32('[8,16]')}}`, 16);
  const header = readSafetensorsHeader(path);
  expect([...header.tensors.keys()]).toEqual(['__proto__', 'constructor']);
  expect(readTensor(header, '__proto__').data).toEqual(new Float32Array(2));
  expect(codeOf(() => readTensor(header, 'toString'))).toMatch(/BAD_CHECKPOINT .*no tensor toString/);
});

test('2,000 random mutations are refused with a clear error, or leave every tensor and its bytes intact', () => {
  const random = randomOf(7);
  const original = tensors.map((tensor) => [
    tensor.name,
    String(tensor.shape),
    bytesOf(tensor).toString('hex'),
  ]);
  writeSafetensors(path, tensors);
  const good = readFileSync(path);
  const headerEnd = 8 + Number(good.readBigUInt64LE());
  let accepted = 0;
  for (let round = 0; round < 2000; round++) {
    const { bytes, inData } = mutate(good, headerEnd, random);
    writeFileSync(path, bytes);
    const outcome = codeOf(() => {
      const header = readSafetensorsHeader(path);
      accepted++;
      // The format cannot detect damage to values or to a name, only the manifest's hash can; what must hold is that
      // sizes agree and that no value changed except in the damaged tensor.
      for (const [name, entry] of header.tensors) {
        const back = readTensor(header, name);
        expect(back.data.byteLength).toBe(entry.end - entry.begin);
        expect(bytesOf(back).equals(bytes.subarray(entry.begin, entry.end))).toBe(true);
        const before = original.find(([known]) => known === name);
        if (before && !inData && back.data.length > 0) expect(before[2]).toBe(bytesOf(back).toString('hex'));
      }
    });
    if (outcome !== 'no error') expect(outcome).toContain(`BAD_CHECKPOINT ${path} is damaged`);
  }
  expect(accepted).toBeGreaterThan(50);
  expect(accepted).toBeLessThan(1000);
});

/** A damaged copy: bits flipped, bytes cut, added, moved or replaced by the digits and marks that headers use. */
function mutate(good: Buffer, headerEnd: number, random: () => number): { bytes: Buffer; inData: boolean } {
  const below = (n: number) => Math.floor(random() * n);
  const bytes = Buffer.from(good);
  const at = below(3) === 0 ? below(bytes.length) : below(headerEnd);
  switch (below(5)) {
    case 0:
      bytes[at] ^= 1 << below(8);
      return { bytes, inData: at >= headerEnd };
    case 1:
      return { bytes: bytes.subarray(0, at), inData: false };
    case 2:
      bytes.writeBigUInt64LE(BigInt(Math.floor(2 ** (random() * 63))));
      return { bytes, inData: false };
    case 3:
      bytes.write('0123456789-,:[]{}" '[below(19)], Math.min(at, headerEnd - 1), 'latin1');
      return { bytes, inData: false };
    default:
      return { bytes: Buffer.concat([bytes, Buffer.alloc(1 + below(16))]), inData: false };
  }
}

test('a name that occurs twice or a shape that does not fit is not written', () => {
  const one = { name: 'a', shape: [2], data: new Float32Array(2) };
  expect(codeOf(() => writeSafetensors(path, [one, one]))).toMatch(
    /INTERNAL tensor name a is reserved or occurs twice/,
  );
  expect(codeOf(() => writeSafetensors(path, [{ ...one, shape: [3] }]))).toMatch(
    /INTERNAL .*\[3\] but 2 elements/,
  );
});

test('a full disk is DISK_FULL with the file named', () => {
  expect(codeOf(() => writeSafetensors('/dev/full', tensors))).toMatch(
    /^DISK_FULL cannot write \/dev\/full .*ENOSPC.*free some space/,
  );
});

test('a write that is cut short and then fails is DISK_FULL and says how far it came', () => {
  const script = `
    import { writeSafetensors } from ${JSON.stringify(new URL('../../src/checkpoint/safetensors.ts', import.meta.url).href)};
    try {
      writeSafetensors(${JSON.stringify(path)}, [{ name: 'a', shape: [100000], data: new Float32Array(100000) }]);
      console.log('written');
    } catch (error) { console.log(error.code, error.message); }`;
  // A file size limit (of 64 blocks, 512 or 1,024 bytes by shell) acts like a full disk: the write that crosses it is
  // short, the next one fails.
  const shell = `trap '' XFSZ; ulimit -f 64; exec "$0" --conditions=source --import tsx --input-type=module -e "$1"`;
  const said = execFileSync('sh', ['-c', shell, process.execPath, script], { encoding: 'utf8' });
  expect(said).toMatch(
    /^DISK_FULL cannot write .*a\.safetensors \(stopped after (32768|65536) bytes\): EFBIG/,
  );
});

test('a name of megabytes is refused, and does not overflow the stack', () => {
  const name = 'a\\n'.repeat(1e7);
  expect(codeOf(() => readSafetensorsHeader(rawFile(`{"${name}":{}}`, 0)))).toBe(
    `BAD_CHECKPOINT ${path} is damaged: the name of a tensor has 20000000 characters, at most 1000 are possible`,
  );
});

test('a pipe or a folder in the place of a file is refused at once', () => {
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  // With a writer, opening the pipe would not block.
  const writer = openSync(pipe, 'r+');
  for (const read of [readSafetensorsHeader, digestFile]) {
    expect(codeOf(() => read(pipe))).toBe(`BAD_INPUT ${pipe}: is no regular file but a pipe`);
    expect(codeOf(() => read(folder))).toBe(`BAD_INPUT ${folder}: is no regular file but a folder`);
  }
  closeSync(writer);
});
