/**
 * The code of each kind of operation in shared memory and on the wire. A code is never reused for another
 * kind (3 was broadcast), as nodes of different builds may meet.
 */
export const OPERATION_CODES = {
  'all-to-all': 0,
  'all-reduce': 1,
  'all-gather': 2,
  barrier: 4,
} as const;
export type OperationKind = keyof typeof OPERATION_CODES;

export const OPERATION_KINDS = Object.keys(OPERATION_CODES) as OperationKind[];

/** The kinds by code; other codes have none. */
export const KIND_OF_CODE: readonly OperationKind[] = OPERATION_KINDS.reduce<OperationKind[]>(
  (kinds, kind) => {
    kinds[OPERATION_CODES[kind]] = kind;
    return kinds;
  },
  [],
);

/** Identifies a collective call, for error messages and for peers to check that they are in the same call. */
export interface Operation {
  readonly kind: OperationKind;
  /** Purpose of the caller, e.g. `dispatch`, `combine`, `gradients`. */
  readonly purpose: string;
  /** Index of the sparse layer; absent outside a layer. */
  readonly layer?: number | undefined;
  /** Hash of the counts on which all ranks must agree (`hashCounts`); absent or 0 if there are none. */
  readonly countsHash?: number | undefined;
}

/** Activities of a worker, by code in shared memory. */
export const PHASES = [
  'starting',
  'forward',
  'backward',
  'reduce',
  'optimizer',
  'validate',
  'checkpoint',
  'done',
] as const;
export type Phase = (typeof PHASES)[number];
