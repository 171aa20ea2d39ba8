import type { Spread, StreamName } from './measurements.js';

export const STREAM_LABELS: Readonly<Record<StreamName, string>> = {
  memcpy: 'copying in one process (memcpy)',
  tcp: 'raw TCP socket',
  'http2-4': 'raw node:http2, window 4 MiB as ours',
  'http2-16': 'raw node:http2, window 16 MiB',
  grpc: 'ours: gRPC pull stream of two agents',
};

/** Sizes with binary units: 16 KiB, 4 MiB. */
export function formatSize(bytes: number): string {
  return bytes >= 1 << 20 ? `${bytes / 2 ** 20} MiB` : `${bytes / 2 ** 10} KiB`;
}

/** Three significant digits. */
export function digits(value: number): string {
  return String(Number(value.toPrecision(3)));
}

/** Median, with the 10th and 90th percentile in brackets. */
export function withSpread({ median, p10, p90 }: Spread): string {
  return `${digits(median)} (${digits(p10)} to ${digits(p90)})`;
}
