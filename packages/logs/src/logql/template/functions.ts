import { nsText } from '../../store/instant.js';
import {
  Arguments,
  atLeast,
  type CallContext,
  exactly,
  type TemplateFunction,
  toFloat,
  toInt,
} from './arguments.js';
import { GoTime, LOCAL_ZONE } from './go-time.js';
import { STRINGS } from './strings.js';
import { isTrue, TemplateError, typeName, type Value } from './values.js';

/** Functions of text/template itself. */
const LOGIC: Readonly<Record<string, TemplateFunction>> = {
  and: atLeast(1, ({ all }) => all.at(-1)!),
  or: atLeast(1, ({ all }) => all.at(-1)!),
  not: exactly(1, ({ all }) => !isTrue(all[0]!)),
  eq: atLeast(2, (args) => args.all.slice(1).some((value) => isEqual(args, args.all[0]!, value))),
  ne: exactly(2, (args) => !isEqual(args, args.all[0]!, args.all[1]!)),
  lt: exactly(2, (args) => order(args) < 0),
  le: exactly(2, (args) => order(args) <= 0),
  gt: exactly(2, (args) => order(args) > 0),
  ge: exactly(2, (args) => order(args) >= 0),
  len: exactly(1, (args) => BigInt(lengthOf(args))),
  index: atLeast(1, indexed),
};

function isEqual(args: Arguments, a: Value, b: Value): boolean {
  if (a !== null && b !== null && typeName(a) !== typeName(b))
    throw args.fail('incompatible types for comparison');
  return a === b;
}

function order(args: Arguments): number {
  const [a, b] = args.all as [Value, Value];
  if (typeName(a) !== typeName(b)) throw args.fail('incompatible types for comparison');
  if (!['string', 'int', 'float64'].includes(typeName(a))) throw args.fail('invalid type for comparison');
  if (a === b) return 0;
  return (a as string) < (b as string) ? -1 : 1;
}

function lengthOf(args: Arguments): number {
  const value = args.all[0]!;
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (Array.isArray(value)) return value.length;
  if (value instanceof Map) return value.size;
  throw args.fail(`len of type ${typeName(value)}`);
}

function indexed(args: Arguments): Value {
  let value = args.all[0]!;
  for (const key of args.all.slice(1)) {
    if (Array.isArray(value) && typeof key === 'bigint') {
      if (key < 0n || key >= value.length) throw args.fail(`index out of range: ${key}`);
      value = value[Number(key)]!;
    } else if (value instanceof Map && typeof key === 'string') value = value.get(key) ?? null;
    else throw args.fail(`cannot index ${typeName(value)} with ${typeName(key)}`);
  }
  return value;
}

const int = (value: bigint) => BigInt.asIntN(64, value);

const MATHS: Readonly<Record<string, TemplateFunction>> = {
  add: atLeast(1, (args) => int(args.ints().reduce((a, b) => a + b))),
  sub: exactly(2, (args) => int(toInt(args.all[0]!) - toInt(args.all[1]!))),
  mul: atLeast(1, (args) => int(args.ints().reduce((a, b) => a * b))),
  div: exactly(2, (args) => toInt(args.all[0]!) / divisor(args)),
  mod: exactly(2, (args) => toInt(args.all[0]!) % divisor(args)),
  max: atLeast(1, (args) => ascending(args).at(-1)!),
  min: atLeast(1, (args) => ascending(args)[0]!),
  addf: atLeast(1, (args) => decimal(args.floats().reduce((a, b) => a + b))),
  subf: atLeast(1, (args) => decimal(args.floats().reduce((a, b) => a - b))),
  mulf: atLeast(1, (args) => decimal(args.floats().reduce((a, b) => a * b))),
  divf: atLeast(1, divided),
  maxf: atLeast(1, (args) => Math.max(...args.floats())),
  minf: atLeast(1, (args) => Math.min(...args.floats())),
  ceil: exactly(1, (args) => Math.ceil(toFloat(args.all[0]!))),
  floor: exactly(1, (args) => Math.floor(toFloat(args.all[0]!))),
  round: { least: 2, most: 3, call: round },
  int: exactly(1, (args) => toInt(args.all[0]!)),
  float64: exactly(1, (args) => toFloat(args.all[0]!)),
};

function ascending(args: Arguments): bigint[] {
  return args.ints().sort((a, b) => (a < b ? -1 : 1));
}

/** Loki adds and multiplies in decimal: 0.1 and 0.2 are 0.3. */
function decimal(value: number): number {
  return Number(value.toPrecision(15));
}

function divided(args: Arguments): number {
  return args.floats().reduce((a, b) => {
    if (b === 0) throw args.fail('decimal division by 0');
    return a / b;
  });
}

function divisor(args: Arguments): bigint {
  const value = toInt(args.all[1]!);
  if (value === 0n) throw args.fail('integer divide by zero');
  return value;
}

/** Rounds to a number of digits; a rest of `roundOn` (0.5) of the last one is rounded up. */
function round(args: Arguments): number {
  const scale = 10 ** args.int(1);
  const roundOn = args.length > 2 ? toFloat(args.all[2]!) : 0.5;
  const scaled = toFloat(args.all[0]!) * scale;
  const rest = scaled - Math.trunc(scaled);
  return (rest >= roundOn ? Math.ceil(scaled) : Math.floor(scaled)) / scale;
}

const NS_PER_S = 1_000_000_000n;
/** Either side of 1970; JavaScript has no dates beyond. */
const MAX_S = 8_640_000_000_000n;
/** ns of one unit, by the number of digits of a time since 1970. */
const NS_BY_DIGITS: Readonly<Record<number, bigint>> = {
  5: 86_400n * NS_PER_S,
  10: NS_PER_S,
  13: 1_000_000n,
  16: 1_000n,
  19: 1n,
};

const TIMES: Readonly<Record<string, TemplateFunction>> = {
  __timestamp__: exactly(0, (_, { data }) => new GoTime(BigInt(nsText(data.at)), LOCAL_ZONE)),
  now: exactly(0, () => new GoTime(BigInt(Date.now()) * 1_000_000n, LOCAL_ZONE)),
  date: exactly(2, (args) => new GoTime(timeOf(args, 1).ns, LOCAL_ZONE).format(args.string(0))),
  toDate: exactly(2, (args) => GoTime.parse(args.string(0), args.string(1), LOCAL_ZONE) ?? GoTime.ZERO),
  toDateInZone: exactly(
    3,
    (args) => GoTime.parse(args.string(0), args.string(2), zoneOf(args.string(1))) ?? GoTime.ZERO,
  ),
  unixEpoch: exactly(1, (args) => String(timeOf(args, 0).ns / NS_PER_S)),
  unixEpochMillis: exactly(1, (args) => String(timeOf(args, 0).ms)),
  unixEpochNanos: exactly(1, (args) => String(timeOf(args, 0).ns)),
  unixToTime: exactly(1, (args) => {
    const text = args.string(0);
    const unit = NS_BY_DIGITS[text.length];
    if (unit === undefined || !/^\d+$/.test(text))
      throw args.fail(`unable to parse time '${text.slice(0, 100)}'`);
    return new GoTime(BigInt(text) * unit, LOCAL_ZONE);
  }),
};

/** A whole number is a time in s. */
function timeOf(args: Arguments, index: number): GoTime {
  const value = args.all[index]!;
  if (value instanceof GoTime) return value;
  if (typeof value === 'bigint' && (value > MAX_S || value < -MAX_S))
    throw args.fail(`time out of range: ${value}`);
  if (typeof value === 'bigint') return new GoTime(value * NS_PER_S, LOCAL_ZONE);
  throw args.fail(`wrong type for value; expected time.Time; got ${typeName(value)}`);
}

/** An unknown zone is UTC. */
function zoneOf(name: string): string {
  if (name === 'Local') return LOCAL_ZONE;
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    return 'UTC';
  }
}

const FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map(
  Object.entries({ ...LOGIC, ...MATHS, ...STRINGS, ...TIMES }),
);

export function isFunction(name: string): boolean {
  return FUNCTIONS.has(name);
}

/** @throws TemplateError for arguments that the function does not take */
export function callFunction(name: string, args: readonly Value[], context: CallContext): Value {
  const { least, most, call } = FUNCTIONS.get(name)!;
  if (args.length < least || args.length > most)
    throw new TemplateError(
      `wrong number of args for ${name}: want ${least === most ? '' : 'at least '}${least} got ${args.length}`,
    );
  return call(new Arguments(name, args), context);
}
