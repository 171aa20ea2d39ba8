import { TrainerError } from '../errors.js';
import { otherRanks } from './topology.js';
import type { Operation, Transport } from './transport.js';

export interface AllToAllOptions {
  /** What goes to each rank, by destination, this rank included; each is the parts in order. */
  readonly sends: readonly (readonly Uint8Array[])[];
  /** Where the bytes of each rank go, by source, this rank included; sizes must equal what the source sends. */
  readonly receives: readonly (readonly Uint8Array[])[];
  readonly purpose: string;
  readonly layer?: number | undefined;
  /** Hash of the counts of all ranks from which the sizes follow (`hashCounts`); the same on every rank. */
  readonly countsHash?: number | undefined;
}

/**
 * All-to-all with uneven splits (all-to-all-v), flat: every pair of ranks is a message of its own, also between
 * nodes. The reference that the hierarchical form must equal bit by bit.
 *
 * @throws TrainerError as `Transport.exchange`
 */
export function allToAll(transport: Transport, options: AllToAllOptions): void {
  // One step. With B bytes for each destination a rank sends (W - 1) B, of which (W - G) B leave the node; between
  // two nodes travel G * G messages each way.
  exchangeAll(transport, options, false);
}

/** The exchange under both forms of the all-to-all. */
export function exchangeAll(transport: Transport, options: AllToAllOptions, aggregate: boolean): void {
  const { sends, receives, purpose, layer, countsHash } = options;
  const { rank } = transport.topology;
  const operation: Operation = { kind: 'all-to-all', purpose, layer, countsHash };
  const peers = otherRanks(transport.topology);
  transport.exchange(
    operation,
    peers.map((to) => ({ to, parts: sends[to] })),
    peers.map((from) => ({ from, parts: receives[from] })),
    { aggregate },
  );
  copyToSelf(sends[rank], receives[rank], operation);
}

function copyToSelf(from: readonly Uint8Array[], to: readonly Uint8Array[], operation: Operation): void {
  const total = (parts: readonly Uint8Array[]) => parts.reduce((sum, part) => sum + part.length, 0);
  if (total(from) !== total(to))
    throw new TrainerError(
      'INTERNAL',
      `${operation.kind} ${operation.purpose}: this rank sends itself ${total(from)} bytes and expects ${total(to)}`,
    );
  let index = 0;
  let offset = 0;
  for (const part of from) {
    for (let done = 0; done < part.length; ) {
      const target = to[index];
      const count = Math.min(part.length - done, target.length - offset);
      target.set(part.subarray(done, done + count), offset);
      done += count;
      offset += count;
      if (offset === target.length) {
        index++;
        offset = 0;
      }
    }
  }
}
