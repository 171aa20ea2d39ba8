const NS_PER_MS = 1_000_000n;
const NS_PER_S = 1_000_000_000n;

/** Formats of time zones: making one takes longer than using it. */
const FORMATS = new Map<string, Intl.DateTimeFormat>();

function partsOf(zone: string, ms: number): Intl.DateTimeFormatPart[] {
  let format = FORMATS.get(zone);
  if (format === undefined) {
    const number = 'numeric';
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      timeZoneName: 'short',
      hourCycle: 'h23',
      year: number,
      month: number,
      day: number,
      hour: number,
      minute: number,
      second: number,
    });
    FORMATS.set(zone, format);
  }
  return format.formatToParts(ms);
}

/** The UTC offset of a time zone at some time, in s. @throws RangeError for an unknown zone */
function offsetOf(zone: string, ms: number): number {
  if (zone === 'UTC') return 0;
  const parts = partsOf(zone, ms);
  const part = (type: string) => Number(parts.find((each) => each.type === type)?.value);
  const local = Date.UTC(
    part('year'),
    part('month') - 1,
    part('day'),
    part('hour'),
    part('minute'),
    part('second'),
  );
  return Math.round((local - Math.floor(ms / 1000) * 1000) / 1000);
}

function abbreviationOf(zone: string, ms: number): string {
  if (zone === 'UTC') return 'UTC';
  return partsOf(zone, ms).find(({ type }) => type === 'timeZoneName')?.value ?? zone;
}

export const LOCAL_ZONE = new Intl.DateTimeFormat().resolvedOptions().timeZone;

const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

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
      return /07/.test(part) ? offsetText(part, offsetS) : dateText(part, date);
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

const FIELDS: Readonly<Record<string, string>> = {
  '2006': 'year',
  '06': 'shortYear',
  '01': 'month',
  '1': 'month',
  January: 'monthName',
  Jan: 'monthName',
  Monday: 'dayName',
  Mon: 'dayName',
  '002': 'dayOfYear',
  '02': 'day',
  _2: 'day',
  '2': 'day',
  '15': 'hour',
  '03': 'hour',
  '3': 'hour',
  '04': 'minute',
  '4': 'minute',
  '05': 'second',
  '5': 'second',
  PM: 'half',
  pm: 'half',
  MST: 'zoneName',
};

function fieldOf(part: string): string {
  if (/^[.,]/.test(part)) return 'fraction';
  return /07/.test(part) ? 'offset' : FIELDS[part]!;
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

function dateText(part: string, date: Date): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const hour = date.getUTCHours();
  const hour12 = hour % 12 === 0 ? 12 : hour % 12;
  const day = date.getUTCDate();
  switch (part) {
    case '2006':
      return String(date.getUTCFullYear()).padStart(4, '0');
    case '06':
      return two(date.getUTCFullYear() % 100);
    case 'January':
      return MONTHS[date.getUTCMonth()]!;
    case 'Jan':
      return MONTHS[date.getUTCMonth()]!.slice(0, 3);
    case '01':
      return two(date.getUTCMonth() + 1);
    case '1':
      return String(date.getUTCMonth() + 1);
    case 'Monday':
      return DAYS[date.getUTCDay()]!;
    case 'Mon':
      return DAYS[date.getUTCDay()]!.slice(0, 3);
    case '002':
      return String(
        Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / 86_400_000) + 1,
      ).padStart(3, '0');
    case '02':
      return two(day);
    case '_2':
      return String(day).padStart(2, ' ');
    case '2':
      return String(day);
    case '15':
      return two(hour);
    case '03':
      return two(hour12);
    case '3':
      return String(hour12);
    case '04':
      return two(date.getUTCMinutes());
    case '4':
      return String(date.getUTCMinutes());
    case '05':
      return two(date.getUTCSeconds());
    case '5':
      return String(date.getUTCSeconds());
    case 'PM':
      return hour >= 12 ? 'PM' : 'AM';
    default:
      return hour >= 12 ? 'pm' : 'am';
  }
}

function floorDivide(a: bigint, b: bigint): bigint {
  return a >= 0n ? a / b : -((-a + b - 1n) / b);
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}
