import { closeSync } from 'node:fs';
import koffi from 'koffi';
import { TrainerError } from '../errors.js';
import { cFunction } from './c-function.js';

const libc = koffi.load('libc.so.6');
const mmapC = cFunction(
  libc,
  'void *mmap(void *_Nullable address, size_t length, int protection, int flags, int fd, int64_t offset)',
);
const munmapC = cFunction(libc, 'int munmap(void *address, size_t length)');
const posixFallocateC = cFunction(libc, 'int posix_fallocate(int fd, int64_t offset, int64_t length)');
const posixFadviseC = cFunction(
  libc,
  'int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)',
);
const futexC = cFunction(
  libc,
  'long syscall(long number, void *address, int operation, uint32_t value, const int64_t *_Nullable timeout, void *_Nullable address2, uint32_t value3)',
);
const schedYieldC = cFunction(libc, 'int sched_yield()');
const madviseC = cFunction(libc, 'int madvise(void *address, size_t length, int advice)');
const flockC = cFunction(libc, 'int flock(int fd, int operation)');

const SYS_FUTEX = process.arch === 'arm64' ? 98 : 202;
const FUTEX_WAIT = 0;
const FUTEX_WAKE = 1;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_ANONYMOUS = 32;
const MADV_HUGEPAGE = 14;
const POSIX_FADV_WILLNEED = 3;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;
const ALL_WAITERS = 0x7fff_ffff;
const LOCK_EXCLUSIVE = 2;
const LOCK_NO_WAIT = 4;

/** Memory shared with other processes. */
export interface Mapping {
  readonly buffer: ArrayBuffer;
  readonly address: bigint;
}

/** Allocates `bytes` bytes for an open file, so that writes to its mapping cannot fail; returns an errno or 0. */
export function reserve(fd: number, bytes: number): number {
  return posixFallocateC(fd, 0, bytes);
}

/** Makes the kernel read a part of a file ahead, without waiting; a hint, which may be ignored. */
export function willRead(fd: number, begin: number, bytes: number): void {
  posixFadviseC(fd, begin, bytes, POSIX_FADV_WILLNEED);
}

/**
 * Maps an open file as shared memory and closes it.
 *
 * @throws TrainerError `NO_RESOURCE` if the kernel refuses
 */
export function mapShared(fd: number, bytes: number): Mapping {
  const address = mmapC(null, bytes, PROT_READ_WRITE, MAP_SHARED, fd, 0);
  const errno = koffi.errno();
  closeSync(fd);
  if (address === MAP_FAILED)
    throw new TrainerError(
      'NO_RESOURCE',
      `cannot map ${bytes} bytes of shared memory (errno ${errno}): lower cluster.ringBytes or raise the ` +
        'memory limit',
    );
  return { buffer: koffi.view(address, bytes), address };
}

/** Unmaps shared memory; any later access to the buffer is a segmentation fault. */
export function unmap(mapping: Mapping): void {
  munmapC(mapping.address, mapping.buffer.byteLength);
}

/**
 * Takes the exclusive lock (flock) of an open file if it is free. The kernel releases it when the file is
 * closed, also by the death of the process.
 *
 * @returns an errno (`EWOULDBLOCK` if another holds it) or 0
 */
export function tryLock(fd: number): number {
  return flockC(fd, LOCK_EXCLUSIVE | LOCK_NO_WAIT) === 0 ? 0 : koffi.errno();
}

/** Yields the core to another runnable process, if there is one (sched_yield). */
export function yieldCore(): void {
  schedYieldC();
}

/** Wakes every process that sleeps on the 32-bit word at `address`. */
export function futexWake(address: bigint): void {
  futexC(SYS_FUTEX, address, FUTEX_WAKE, ALL_WAITERS, null, null, 0);
}

function timespec(timeoutMs: number): BigInt64Array {
  // An explicit ArrayBuffer lies outside the garbage-collected heap, so it does not move during the call.
  const words = new BigInt64Array(new ArrayBuffer(16));
  words[0] = BigInt(Math.floor(timeoutMs / 1000));
  words[1] = BigInt(Math.floor((timeoutMs % 1000) * 1e6));
  return words;
}

/** Sleeps until woken, at most `timeoutMs`; returns at once if the word at `address` is not `expected`. */
export function futexWait(address: bigint, expected: number, timeoutMs: number): void {
  futexC(SYS_FUTEX, address, FUTEX_WAIT, expected >>> 0, timespec(timeoutMs), null, 0);
}

/** Runs `futexWait` on another thread, so that the event loop stays free. */
export function futexWaitAsync(address: bigint, expected: number, timeoutMs: number): Promise<void> {
  const timeout = timespec(timeoutMs);
  return new Promise((resolve) => {
    futexC.async(SYS_FUTEX, address, FUTEX_WAIT, expected >>> 0, timeout, null, 0, () => {
      // Naming the buffer here keeps it alive until the call returns.
      void timeout;
      resolve();
    });
  });
}

/**
 * Maps zeroed memory of this process alone, in huge pages where the kernel has them; it stays until the process ends.
 *
 * @throws TrainerError `NO_RESOURCE` if the kernel refuses
 */
export function mapPrivate(bytes: number): ArrayBuffer {
  const address = mmapC(null, bytes, PROT_READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const errno = koffi.errno();
  if (address === MAP_FAILED)
    throw new TrainerError('NO_RESOURCE', `cannot map ${bytes} bytes of memory (errno ${errno})`);
  madviseC(address, bytes, MADV_HUGEPAGE);
  return koffi.view(address, bytes);
}
