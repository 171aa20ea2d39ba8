import { readFileSync } from 'node:fs';

/** A decoded event; `fields` holds everything except time, step, version, summary and session log. */
export interface DecodedEvent {
  readonly wallTime: number;
  readonly step: number;
  readonly version: string | null;
  readonly scalars: Readonly<Record<string, number>>;
  /** Status of a session log: 1 is START. */
  readonly session: number | null;
}

/** Computes bit by bit, to share no code with what is tested. */
function slowCrc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes)
    for (let bit = 0; bit < 8; bit++) {
      const isSet = ((crc ^ (byte >>> bit)) & 1) === 1;
      crc = (crc >>> 1) ^ (isSet ? 0x82f63b78 : 0);
    }
  return (crc ^ 0xffffffff) >>> 0;
}

function checkCrc(data: Uint8Array, stored: number, what: string): void {
  const unrotated = (stored - 0xa282ead8) >>> 0;
  const crc = ((unrotated >>> 17) | (unrotated << 15)) >>> 0;
  if (crc !== slowCrc32c(data)) throw new Error(`${what}: the checksum is wrong`);
}

/** The records of a TFRecord file, checksums verified. */
function readRecords(file: string): Buffer[] {
  const bytes = readFileSync(file);
  const records: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    checkCrc(bytes.subarray(at, at + 8), bytes.readUInt32LE(at + 8), `length of record ${records.length}`);
    const data = bytes.subarray(at + 12, at + 12 + length);
    checkCrc(data, bytes.readUInt32LE(at + 12 + length), `record ${records.length}`);
    records.push(data);
    at += 16 + length;
  }
  return records;
}

type Field = { readonly number: number; readonly value: bigint | Buffer };

function fieldsOf(message: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  const take = (length: number) => {
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const key = Number(varint());
    const wire = key & 7;
    const value = wire === 0 ? varint() : take(wire === 1 ? 8 : wire === 5 ? 4 : Number(varint()));
    fields.push({ number: key >>> 3, value });
  }
  return fields;
}

function decodeEvent(record: Buffer): DecodedEvent {
  const fields = fieldsOf(record);
  const get = (number: number) => fields.find((field) => field.number === number)?.value;
  const bytes = (number: number) => get(number) as Buffer | undefined;
  const session = bytes(7);
  return {
    wallTime: bytes(1)!.readDoubleLE(),
    step: Number(get(2) ?? 0n),
    version: bytes(3)?.toString() ?? null,
    scalars: Object.fromEntries(fieldsOf(bytes(5) ?? Buffer.alloc(0)).map(decodeScalar)),
    session: session === undefined ? null : Number(fieldsOf(session)[0].value),
  };
}

function decodeScalar({ value }: Field): [string, number] {
  const fields = fieldsOf(value as Buffer);
  const get = (number: number) => fields.find((field) => field.number === number)?.value as Buffer;
  return [get(1).toString(), get(2).readFloatLE()];
}

export function readEvents(file: string): DecodedEvent[] {
  return readRecords(file).map(decodeEvent);
}
