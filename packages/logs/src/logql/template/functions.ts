import {
  Arguments,
  atLeast,
  type CallContext,
  exactly,
  type TemplateFunction,
  toFloat,
  toInt,
} from './arguments.js';
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
};

function isEqual(args: Arguments, a: Value, b: Value): boolean {
  if (typeName(a) !== typeName(b)) throw args.fail('incompatible types for comparison');
  return a === b;
}

function order(args: Arguments): number {
  const [a, b] = args.all as [Value, Value];
  if (typeName(a) !== typeName(b)) throw args.fail('incompatible types for comparison');
  if (!['string', 'int', 'float64'].includes(typeName(a))) throw args.fail('invalid type for comparison');
  if (a === b) return 0;
  return (a as string) < (b as string) ? -1 : 1;
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
  ceil: exactly(1, (args) => Math.ceil(toFloat(args.all[0]!))),
  floor: exactly(1, (args) => Math.floor(toFloat(args.all[0]!))),
  round: exactly(2, round),
  int: exactly(1, (args) => toInt(args.all[0]!)),
  float64: exactly(1, (args) => toFloat(args.all[0]!)),
};

function ascending(args: Arguments): bigint[] {
  return args.ints().sort((a, b) => (a < b ? -1 : 1));
}

/** Rounds to 15 digits, as Loki computes with decimal numbers, so that 0.1 + 0.2 is 0.3. */
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

/** Rounds to a number of digits, a half up. */
function round(args: Arguments): number {
  const scale = 10 ** args.int(1);
  const scaled = toFloat(args.all[0]!) * scale;
  const rest = scaled - Math.trunc(scaled);
  return (rest >= 0.5 ? Math.ceil(scaled) : Math.floor(scaled)) / scale;
}

const FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map(
  Object.entries({ ...LOGIC, ...MATHS, ...STRINGS }),
);

export const FUNCTION_NAMES: ReadonlySet<string> = new Set(FUNCTIONS.keys());

/** @throws TemplateError for arguments that the function does not accept */
export function callFunction(name: string, args: readonly Value[], context: CallContext): Value {
  const { least, most, call } = FUNCTIONS.get(name)!;
  if (args.length < least || args.length > most)
    throw new TemplateError(
      `wrong number of args for ${name}: want ${least === most ? '' : 'at least '}${least} got ${args.length}`,
    );
  return call(new Arguments(name, args), context);
}
