/** Formats numbers, durations and times. A missing value is a dash. */

export const DASH = '–';

/** Formats a number with three significant digits: 1234567 is 1.23M. */
export function formatCount(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return DASH;
  const size = Math.abs(value);
  for (const [unit, scale, from] of UNITS) if (size >= from) return `${digits(value / scale)}${unit}`;
  return Number.isInteger(value) ? String(value) : digits(value);
}
/** Suffix, scale, and the smallest number that gets the suffix. */
const UNITS = [
  ['G', 1e9, 1e9],
  ['M', 1e6, 1e6],
  ['k', 1e3, 1e4],
] as const;

function digits(value: number): string {
  const size = Math.abs(value);
  if (size >= 1_000) return String(Math.round(value));
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  if (size >= 0.01 || size === 0) return value.toFixed(2);
  return value.toExponential(1);
}

export function formatLoss(value: number | null | undefined): string {
  return value === null || value === undefined ? DASH : value.toFixed(3);
}

export function formatShare(share: number | null | undefined): string {
  return share === null || share === undefined ? DASH : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
}

export function formatBytes(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined) return DASH;
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`;
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(bytes >= 1e8 ? 0 : 1)} MB`;
  if (bytes >= 1e3) return `${(bytes / 1e3).toFixed(1)} kB`;
  return `${bytes} B`;
}

/** Formats a duration: 0.2 s, 45 s, 3m 20s, 2h 05m, 1d 3h. */
export function formatDurationMs(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return DASH;
  const seconds = Math.abs(ms) / 1e3;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3_600) return `${Math.floor(whole / 60)}m ${pad(whole % 60)}s`;
  if (whole < 86_400) return `${Math.floor(whole / 3_600)}h ${pad(Math.floor((whole % 3_600) / 60))}m`;
  return `${Math.floor(whole / 86_400)}d ${Math.floor((whole % 86_400) / 3_600)}h`;
}

/** Formats elapsed time for an axis: 0, 20 s, 5 m, 1 h 30 m. */
export function formatElapsed(ms: number): string {
  const seconds = Math.round(ms / 100) / 10;
  if (seconds < 60) return seconds === 0 ? '0' : `${seconds} s`;
  const [hours, minutes, rest] = [
    Math.floor(seconds / 3_600),
    Math.floor((seconds % 3_600) / 60),
    seconds % 60,
  ];
  const parts = [hours > 0 && `${hours} h`, minutes > 0 && `${minutes} m`, rest > 0 && `${rest} s`];
  return parts.filter(Boolean).join(' ');
}

/** Formats tick labels of an axis: all with the fewest decimals that keep them distinct. */
export function axisNumbers(values: readonly number[], unit = ''): string[] {
  const gap = values.length > 1 ? Math.abs(values[1]! - values[0]!) : 1;
  const most = Math.max(...values.map(Math.abs));
  const [suffix, scale] = UNITS.find(([, size, from]) => most >= from && gap >= size / 1e3) ?? ['', 1];
  const isWhole = (digits: number) => ((gap / scale) * 10 ** digits + 1e-6) % 1 < 1e-5;
  const digits = [0, 1, 2, 3, 4, 5].find(isWhole) ?? 6;
  return values.map((value) => `${(value / scale).toFixed(digits)}${value === 0 ? '' : suffix}${unit}`);
}

/** Formats the local time of day. */
export function formatClock(ms: number, withMs = true): string {
  const date = new Date(ms);
  const clock = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  return withMs ? `${clock}.${String(date.getMilliseconds()).padStart(3, '0')}` : clock;
}

/** Returns the time zone of all clock times of the page, such as UTC or GMT+2. */
export function timeZone(ms = Date.now()): string {
  const parts = new Intl.DateTimeFormat('en', { timeZoneName: 'short' }).formatToParts(ms);
  return parts.find(({ type }) => type === 'timeZoneName')?.value ?? '';
}

/** Formats local date and time, to the second. */
export function formatDate(ms: number): string {
  const date = new Date(ms);
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${formatClock(ms, false)}`;
}

function pad(value: number): string {
  return String(value).padStart(2, '0');
}
