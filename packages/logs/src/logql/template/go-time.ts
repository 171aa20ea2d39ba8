const NS_PER_MS = 1_000_000n;
const NS_PER_S = 1_000_000_000n;

/** Formats of time zones: making one takes longer than using it. */
const FORMATS = new Map<string, Intl.DateTimeFormat>();

function partsOf(zone: string, ms: number): Intl.DateTimeFormatPart[] {
  let format = FORMATS.get(zone);
  if (format === undefined) {
    const numbers = ['year', 'month', 'day', 'hour', 'minute', 'second'].map((part) => [part, 'numeric']);
    const parts = { timeZone: zone, timeZoneName: 'short', hourCycle: 'h23' } as const;
    format = new Intl.DateTimeFormat('en-US', { ...parts, ...Object.fromEntries(numbers) });
    FORMATS.set(zone, format);
  }
  return format.formatToParts(ms);
}

/** The UTC offset of a time zone at some time, in s. @throws RangeError for an unknown zone */
function offsetOf(zone: string, ms: number): number {
  if (zone === 'UTC') return 0;
  const parts = new Map(partsOf(zone, ms).map(({ type, value }) => [type, Number(value)]));
  const [year, month, ...time] = (['year', 'month', 'day', 'hour', 'minute', 'second'] as const).map(
    (type) => parts.get(type) ?? Number.NaN,
  ) as [number, number, ...number[]];
  const local = Date.UTC(year, month - 1, ...time);
  return Math.round((local - Math.floor(ms / 1000) * 1000) / 1000);
}

function abbreviationOf(zone: string, ms: number): string {
  if (zone === 'UTC') return 'UTC';
  return partsOf(zone, ms).find(({ type }) => type === 'timeZoneName')?.value ?? zone;
}

export const LOCAL_ZONE = new Intl.DateTimeFormat().resolvedOptions().timeZone;

const MONTHS = 'January February March April May June July August September October November December'.split(
  ' ',
);
const DAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ');

/** The parts of Go's reference time, Mon Jan 2 15:04:05 MST 2006, longest first. */
const LAYOUT =
  /January|Jan|Monday|Mon|MST|2006|002|01|02|03|04|05|06|_2|15|Z07:00|Z0700|Z07|-07:00|-0700|-07|PM|pm|[.,]0+(?!\d)|[.,]9+(?!\d)|1|2|3|4|5/g;

/** A time in a zone, as Go's time.Time. */
export class GoTime {
  constructor(
    readonly ns: bigint,
    private readonly zone: string,
  ) {}

  /** Go's zero time, which a text that cannot be parsed gives. */
  static readonly ZERO = new GoTime(-62_135_596_800n * NS_PER_S, 'UTC');

  get text(): string {
    return this.format('2006-01-02 15:04:05.999999999 -0700 MST');
  }

  get ms(): number {
    return Number(floorDivide(this.ns, NS_PER_MS));
  }

  format(layout: string): string {
    const offsetS = offsetOf(this.zone, this.ms);
    const date = new Date(this.ms + offsetS * 1000);
    const nanos = String(this.ns - floorDivide(this.ns, NS_PER_S) * NS_PER_S).padStart(9, '0');
    return layout.replace(LAYOUT, (part) => {
      if (/^[.,]/.test(part)) return fraction(part, nanos);
      if (part === 'MST') return abbreviationOf(this.zone, this.ms);
      return /07/.test(part) ? offsetText(part, offsetS) : FIELDS[part]![1](date);
    });
  }

  /** Parses a text of a layout; null if it does not fit. */
  static parse(layout: string, text: string, zone: string): GoTime | null {
    const fields = new Map<string, string>();
    let pattern = '';
    let at = 0;
    for (const match of layout.matchAll(LAYOUT)) {
      const field = fieldOf(match[0]);
      pattern += escaped(layout.slice(at, match.index));
      pattern += fields.has(field) ? PATTERNS[field] : `(?<${field}>${PATTERNS[field]})`;
      fields.set(field, match[0]);
      at = match.index + match[0].length;
    }
    pattern += escaped(layout.slice(at));
    // Go takes a fraction of the second also where the layout has none.
    if (!fields.has('fraction') && fields.has('second'))
      pattern = pattern.replace(/\(\?<second>[^)]*\)/, '$&(?<fraction>[.,]\\d+)?');
    const found = new RegExp(`^${pattern}$`, 'i').exec(text)?.groups;
    return found === undefined ? null : fromFields(found, zone);
  }
}

const PATTERNS: Readonly<Record<string, string>> = {
  year: '\\d{4}',
  shortYear: '\\d{2}',
  month: '\\d{1,2}',
  monthName: '[a-z]{3,9}',
  dayName: '[a-z]{3,9}',
  dayOfYear: '\\d{3}',
  day: '\\s?\\d{1,2}',
  hour: '\\d{1,2}',
  minute: '\\d{1,2}',
  second: '\\d{1,2}',
  half: '[ap]m',
  fraction: '(?:[.,]\\d+)?',
  offset: 'Z|[+-]\\d{2}(?::?\\d{2})?',
  zoneName: '[A-Z]{3,5}',
};

const padded = (value: number, length = 2) => String(value).padStart(length, '0');
const month = (date: Date) => date.getUTCMonth() + 1;
const monthName = (date: Date) => MONTHS[date.getUTCMonth()]!;
const dayName = (date: Date) => DAYS[date.getUTCDay()]!;
const hour12 = (date: Date) => date.getUTCHours() % 12 || 12;
const isMorning = (date: Date) => date.getUTCHours() < 12;
const dayOfYear = (date: Date) =>
  Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / 86_400_000) + 1;

/** The field that a part of a layout stands for, and its text. */
const FIELDS: Readonly<Record<string, readonly [field: string, text: (date: Date) => string]>> = {
  '2006': ['year', (date) => padded(date.getUTCFullYear(), 4)],
  '06': ['shortYear', (date) => padded(date.getUTCFullYear() % 100)],
  '01': ['month', (date) => padded(month(date))],
  '1': ['month', (date) => String(month(date))],
  January: ['monthName', monthName],
  Jan: ['monthName', (date) => monthName(date).slice(0, 3)],
  Monday: ['dayName', dayName],
  Mon: ['dayName', (date) => dayName(date).slice(0, 3)],
  '002': ['dayOfYear', (date) => padded(dayOfYear(date), 3)],
  '02': ['day', (date) => padded(date.getUTCDate())],
  _2: ['day', (date) => String(date.getUTCDate()).padStart(2)],
  '2': ['day', (date) => String(date.getUTCDate())],
  '15': ['hour', (date) => padded(date.getUTCHours())],
  '03': ['hour', (date) => padded(hour12(date))],
  '3': ['hour', (date) => String(hour12(date))],
  '04': ['minute', (date) => padded(date.getUTCMinutes())],
  '4': ['minute', (date) => String(date.getUTCMinutes())],
  '05': ['second', (date) => padded(date.getUTCSeconds())],
  '5': ['second', (date) => String(date.getUTCSeconds())],
  PM: ['half', (date) => (isMorning(date) ? 'AM' : 'PM')],
  pm: ['half', (date) => (isMorning(date) ? 'am' : 'pm')],
};

function fieldOf(part: string): string {
  if (/^[.,]/.test(part)) return 'fraction';
  if (part === 'MST') return 'zoneName';
  return /07/.test(part) ? 'offset' : FIELDS[part]![0];
}

function fromFields(found: Readonly<Record<string, string | undefined>>, zone: string): GoTime | null {
  const number = (field: string, byDefault: number) => Number(found[field] ?? byDefault);
  const monthName = found.monthName?.slice(0, 3).toLowerCase();
  const month =
    monthName === undefined
      ? number('month', 1) - 1
      : MONTHS.findIndex((name) => name.slice(0, 3).toLowerCase() === monthName);
  const shortYear = number('shortYear', 0);
  const year =
    found.year === undefined && found.shortYear !== undefined
      ? shortYear + (shortYear >= 69 ? 1900 : 2000)
      : number('year', 0);
  const half = found.half?.toLowerCase();
  const hour = half === undefined ? number('hour', 0) : (number('hour', 0) % 12) + (half === 'pm' ? 12 : 0);
  const day = number('day', 1);
  const date = new Date(0);
  date.setUTCFullYear(year, month, day);
  date.setUTCHours(hour, number('minute', 0), number('second', 0));
  if (month < 0 || date.getUTCMonth() !== month || date.getUTCDate() !== day) return null;
  const nanos = BigInt((found.fraction ?? '').slice(1, 10).padEnd(9, '0'));
  const localMs = date.getTime();
  const isUtc = found.offset === 'Z' || found.zoneName === 'UTC';
  const offsetS = isUtc
    ? 0
    : found.offset === undefined
      ? localOffset(zone, localMs)
      : parseOffset(found.offset);
  return new GoTime(BigInt(localMs - offsetS * 1000) * NS_PER_MS + nanos, isUtc ? 'UTC' : zone);
}

/** The offset of a zone at a time of its own clocks. */
function localOffset(zone: string, localMs: number): number {
  const guess = offsetOf(zone, localMs);
  return offsetOf(zone, localMs - guess * 1000);
}

function parseOffset(text: string): number {
  const [, sign, hours, minutes = '0'] = /^([+-])(\d{2}):?(\d{2})?$/.exec(text)!;
  return (sign === '-' ? -1 : 1) * (Number(hours) * 3600 + Number(minutes) * 60);
}

function offsetText(part: string, offsetS: number): string {
  if (part.startsWith('Z') && offsetS === 0) return 'Z';
  const minutes = Math.abs(Math.trunc(offsetS / 60));
  const hh = String(Math.trunc(minutes / 60)).padStart(2, '0');
  const mm = String(minutes % 60).padStart(2, '0');
  const separator = part.includes(':') ? ':' : '';
  return `${offsetS < 0 ? '-' : '+'}${hh}${/^.07$/.test(part) ? '' : separator + mm}`;
}

function fraction(part: string, nanos: string): string {
  const digits = nanos.slice(0, part.length - 1).padEnd(part.length - 1, '0');
  if (part[1] === '0') return part[0] + digits;
  const short = digits.replace(/0+$/, '');
  return short === '' ? '' : part[0] + short;
}

function floorDivide(a: bigint, b: bigint): bigint {
  return a >= 0n ? a / b : -((-a + b - 1n) / b);
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}
