import type { Spread, StreamName } from './measurements.js';

export const STREAM_LABELS: Readonly<Record<StreamName, string>> = {
  memcpy: 'copying in one process (memcpy)',
  tcp: 'raw TCP socket',
  'http2-4': 'raw node:http2, window 4 MiB as ours',
  'http2-16': 'raw node:http2, window 16 MiB',
  grpc: 'ours: gRPC pull stream of two agents',
};

/** Powers of two as people write them: 16 KiB, 4 MiB. */
export function formatSize(bytes: number): string {
  return bytes >= 1 << 20 ? `${bytes / 2 ** 20} MiB` : `${bytes / 2 ** 10} KiB`;
}

/** Three digits. */
export function digits(value: number): string {
  return String(Number(value.toPrecision(3)));
}

/** Median, and in brackets the 10th and the 90th percentile. */
export function withSpread({ median, p10, p90 }: Spread): string {
  return `${digits(median)} (${digits(p10)} to ${digits(p90)})`;
}
