import type { Random } from './random.js';

/** The largest varint of protobuf: ten bytes. */
const HUGE_VARINT = Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
/** Lengths that a length-delimited field claims. */
const BOMBS = [0x7f, 2 ** 20, 2 ** 31 - 1, 2 ** 32 - 1];

/** A field of an encoded message: bytes `begin` to `end`, with the tag in the bytes before `value`. */
interface Field {
  readonly begin: number;
  readonly value: number;
  readonly end: number;
  readonly wireType: number;
}

const varint = (value: number): Buffer => {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Buffer.from([...bytes, rest]);
};

/** The top-level fields of a message, up to the first one that cannot be read. */
function fieldsOf(bytes: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const number = () => {
    let value = 0;
    for (let shift = 0; at < bytes.length; shift += 7) {
      const byte = bytes[at++]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    return Number.NaN;
  };
  while (at < bytes.length) {
    const begin = at;
    const wireType = number() & 7;
    const value = at;
    if (wireType === 0) number();
    else if (wireType === 1) at += 8;
    else if (wireType === 5) at += 4;
    else if (wireType === 2) {
      const length = number();
      at += length;
    } else break;
    if (!(at <= bytes.length)) break;
    fields.push({ begin, value, end: at, wireType });
  }
  return fields;
}

const cut = (bytes: Buffer, { begin, end }: Field, instead: Buffer) =>
  Buffer.concat([bytes.subarray(0, begin), instead, bytes.subarray(end)]);

/** Changes to one field of a message. */
const FIELD_CHANGES: Readonly<Record<string, (bytes: Buffer, field: Field, random: Random) => Buffer>> = {
  'remove a field': (bytes, field) => cut(bytes, field, Buffer.alloc(0)),
  'repeat a field': (bytes, { begin, end }) => Buffer.concat([bytes, bytes.subarray(begin, end)]),
  'another field number': (bytes, field, random) =>
    cut(
      bytes,
      field,
      Buffer.concat([
        varint(8 * (1 + random.below(30)) + field.wireType),
        bytes.subarray(field.value, field.end),
      ]),
    ),
  'another wire type': (bytes, field, random) => {
    const changed = Buffer.from(bytes);
    changed[field.begin] = (changed[field.begin]! & ~7) | random.below(8);
    return changed;
  },
  'a huge number': (bytes, field) =>
    cut(bytes, field, Buffer.concat([bytes.subarray(field.begin, field.value), HUGE_VARINT])),
  'a number of eleven bytes': (bytes, field) =>
    cut(bytes, field, Buffer.concat([bytes.subarray(field.begin, field.value), Buffer.alloc(11, 0xff)])),
  'a length beyond the message': (bytes, field, random) => {
    const tag = Buffer.from([(bytes[field.begin]! & ~7) | 2]);
    return cut(bytes, field, Buffer.concat([tag, varint(random.pick(BOMBS))]));
  },
  'a change inside a field': (bytes, field, random) => {
    if (field.wireType !== 2) return flip(bytes, random);
    // Skips the length, which is a varint too.
    let start = field.value;
    while (bytes[start]! > 0x7f) start++;
    const inner = mutateMessage(bytes.subarray(start + 1, field.end), random).bytes;
    return cut(
      bytes,
      field,
      Buffer.concat([bytes.subarray(field.begin, field.value), varint(inner.length), inner]),
    );
  },
};

function flip(bytes: Buffer, random: Random): Buffer {
  const flipped = Buffer.from(bytes);
  for (let left = 1 + random.below(3); left > 0 && bytes.length > 0; left--)
    flipped[random.below(bytes.length)]! ^= 1 << random.below(8);
  return flipped;
}

const CHANGES: Readonly<Record<string, (bytes: Buffer, random: Random) => Buffer>> = {
  'flip bits': flip,
  truncate: (bytes, random) => bytes.subarray(0, random.below(bytes.length + 1)),
  'append bytes': (bytes, random) => Buffer.concat([bytes, random.bytes(1 + random.below(40))]),
  'random bytes': (_, random) => random.bytes(random.below(60)),
  'swap two fields': (bytes, random) => {
    const fields = fieldsOf(bytes);
    if (fields.length < 2) return flip(bytes, random);
    const first = random.below(fields.length - 1);
    const [one, other] = [fields[first]!, fields[first + 1]!];
    return Buffer.concat([
      bytes.subarray(0, one.begin),
      bytes.subarray(other.begin, other.end),
      bytes.subarray(one.begin, one.end),
      bytes.subarray(other.end),
    ]);
  },
};

/** Changes an encoded protobuf message in one of many ways, often so that it still decodes. */
export function mutateMessage(
  bytes: Buffer,
  random: Random,
): { readonly name: string; readonly bytes: Buffer } {
  const name = random.pick([...Object.keys(CHANGES), ...Object.keys(FIELD_CHANGES)]);
  if (name in CHANGES) return { name, bytes: CHANGES[name]!(bytes, random) };
  const fields = fieldsOf(bytes);
  if (fields.length === 0) return { name: 'random bytes', bytes: random.bytes(1 + random.below(40)) };
  return { name, bytes: FIELD_CHANGES[name]!(bytes, random.pick(fields), random) };
}
