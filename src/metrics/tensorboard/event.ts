/**
 * What TensorBoard reads, by the numbers of its fields in TensorFlow's event.proto and summary.proto:
 * Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; SessionLog session_log = 7 }
 * Summary { repeated Value value = 1 }, Value { string tag = 1; float simple_value = 2 }
 * SessionLog { SessionStatus status = 1 }, where START = 1
 */
export type TensorboardEvent = {
  /** Wall clock, ms since 1970. */
  readonly timeMs: number;
  readonly step: number;
} & (
  | { readonly kind: 'version' }
  /** A resumed run starts at `step`: what was recorded from there on before is void. */
  | { readonly kind: 'start' }
  | { readonly kind: 'scalars'; readonly scalars: Readonly<Record<string, number>> }
);

const FILE_VERSION = 'brain.Event:2';

/** The event as protobuf. */
export function encodeEvent(event: TensorboardEvent): Buffer {
  return Buffer.concat([double(1, event.timeMs / 1000), varintField(2, event.step), ...payload(event)]);
}

function payload(event: TensorboardEvent): Buffer[] {
  switch (event.kind) {
    case 'version':
      return [bytesField(3, Buffer.from(FILE_VERSION))];
    case 'start':
      return [bytesField(7, varintField(1, 1))];
    case 'scalars':
      return [bytesField(5, Buffer.concat(Object.entries(event.scalars).map(scalarValue)))];
  }
}

function scalarValue([tag, value]: [string, number]): Buffer {
  return bytesField(1, Buffer.concat([bytesField(1, Buffer.from(tag)), float(2, value)]));
}

const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

function key(field: number, wire: number): Buffer {
  return Buffer.from([(field << 3) | wire]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Buffer.from([...bytes, rest]);
}

function varintField(field: number, value: number): Buffer {
  return Buffer.concat([key(field, WIRE.varint), varint(value)]);
}

function bytesField(field: number, data: Buffer): Buffer {
  return Buffer.concat([key(field, WIRE.bytes), varint(data.length), data]);
}

function double(field: number, value: number): Buffer {
  const data = Buffer.alloc(8);
  data.writeDoubleLE(value);
  return Buffer.concat([key(field, WIRE.fixed64), data]);
}

function float(field: number, value: number): Buffer {
  const data = Buffer.alloc(4);
  data.writeFloatLE(value);
  return Buffer.concat([key(field, WIRE.fixed32), data]);
}
