import { type Arguments, toFloat, toInt } from './arguments.js';
import { atLeast, exactly, type TemplateFunction } from './call-context.js';

const int = (value: bigint) => BigInt.asIntN(64, value);

export const MATHS: Readonly<Record<string, TemplateFunction>> = {
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
