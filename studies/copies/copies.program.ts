import { openSync } from 'node:fs';
import koffi from 'koffi';
import { mapPrivate, mapShared } from 'locmoe/internal/os/libc';
import { median, timeOf } from '../../packages/bench/src/statistics.js';
import { type CopyOrder, type CopyTimes, MOST_BYTES, SIZES, WAYS, type Way } from './copies.js';

// The reader of the study: copies bytes of its parent in each way, checks the first copy of each, and times the others.

const readMemory = koffi
  .load('libc.so.6')
  .func(
    'int64_t process_vm_readv(int pid, void *local, size_t numLocal, void *remote, size_t numRemote, size_t flags)',
  );
const SAMPLES = 9;
const SAMPLE_BYTES = 64 << 20;

process.once('message', ({ pid, addresses, shared, fill }: CopyOrder) => {
  const mine = new Uint8Array(mapPrivate(MOST_BYTES)).fill(0);
  const address = koffi.address(mine);
  const segment = new Uint8Array(mapShared(openSync(shared, 'r+'), MOST_BYTES).buffer);
  const ring = new Uint8Array(MOST_BYTES);
  // Of each list one piece: address and number of bytes.
  const [local, remote] = [new BigUint64Array(new ArrayBuffer(16)), new BigUint64Array(new ArrayBuffer(16))];
  const read = (from: bigint) => (at: number, bytes: number) => {
    local.set([address + BigInt(at), BigInt(bytes)]);
    remote.set([from + BigInt(at), BigInt(bytes)]);
    if (readMemory(pid, local, 1, remote, 1, 0) !== bytes) throw new Error(`errno ${koffi.errno()}`);
  };
  const copies: Readonly<Record<Way, (at: number, bytes: number) => void>> = {
    'two copies': (at, bytes) => {
      ring.set(segment.subarray(at, at + bytes), 0);
      mine.set(ring.subarray(0, bytes), at);
    },
    'process_vm_readv, pages of 4 KiB': read(addresses.small),
    'process_vm_readv, huge pages': read(addresses.huge),
    'one copy out of a shared mapping': (at, bytes) => mine.set(segment.subarray(at, at + bytes), at),
  };
  const times = WAYS.flatMap((way) =>
    SIZES.map((bytes): CopyTimes => {
      copies[way](0, bytes);
      if (!mine.subarray(0, bytes).every((byte) => byte === fill)) throw new Error(`${way}: wrong bytes`);
      mine.fill(0, 0, bytes);
      // Small ones stay in the caches, large ones come from memory.
      const span = bytes < 1 << 20 ? 1 << 20 : MOST_BYTES;
      const count = SAMPLE_BYTES / bytes;
      const sample = () => {
        for (let i = 0; i < count; i++) copies[way]((i * bytes) % span, bytes);
      };
      sample();
      const us = median(Array.from({ length: SAMPLES }, () => (1000 * timeOf(sample)) / count));
      return { way, bytes, us };
    }),
  );
  process.send!(times, () => process.exit());
});
