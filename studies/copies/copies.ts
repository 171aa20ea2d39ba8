export const WAYS = [
  'two copies',
  'process_vm_readv, pages of 4 KiB',
  'process_vm_readv, huge pages',
  'one copy out of a shared mapping',
] as const;
export type Way = (typeof WAYS)[number];

export const SIZES = [64 << 10, 256 << 10, 1 << 20, 4 << 20];
export const MOST_BYTES = 64 << 20;

export interface CopyOrder {
  /** Process whose memory is copied. */
  readonly pid: number;
  /** Places of its private memory, in pages of 4 KiB and in huge ones. */
  readonly addresses: { readonly small: bigint; readonly huge: bigint };
  /** File that both map. */
  readonly shared: string;
  /** Value of all bytes. */
  readonly fill: number;
}

export interface CopyTimes {
  readonly way: Way;
  readonly bytes: number;
  /** Microseconds. */
  readonly us: number;
}
