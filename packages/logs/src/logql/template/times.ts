import { nsText } from '../../store/instant.js';
import type { Arguments } from './arguments.js';
import { exactly, type TemplateFunction } from './call-context.js';
import { GoTime, LOCAL_ZONE } from './go-time.js';
import { typeName } from './values.js';

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

export const TIMES: Readonly<Record<string, TemplateFunction>> = {
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
