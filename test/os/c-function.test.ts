import koffi from 'koffi';
import { describe, expect, it } from 'vitest';
import type {
  Calls,
  Engine,
  Memory,
  MemoryDesc,
  Primitive,
  Stream,
} from '../../src/ops/kernels/onednn/library.js';
import { create } from '../../src/ops/kernels/onednn/library.js';
import { cFunction } from '../../src/os/c-function.js';

describe('cFunction', () => {
  const libc = koffi.load('libc.so.6');

  it('calls a function by its prototype', () => {
    const memcmp = cFunction(libc, 'int memcmp(void *a, void *b, size_t length)');
    expect(memcmp(Buffer.from('same'), Buffer.from('same'), 4)).toBe(0);
    const time = cFunction(libc, 'long time(void *_Nullable seconds)');
    expect(time(null)).toBeCloseTo(Date.now() / 1000, -1);
  });

  it('writes a handle, which the function takes that it is meant for', () => {
    const create = cFunction(
      libc,
      'int posix_memalign(_Out_ block_t *block, size_t alignment, size_t bytes)',
    );
    const free = cFunction(libc, 'void free(block_t block)');
    const out: Parameters<typeof create>[0] = [null];
    expect(create(out, 64, 64)).toBe(0);
    free(out[0]!);
  });

  it('does not compile with arguments of the wrong kind', () => {
    // The compiler checks these calls; nothing runs them.
    const _calls = (
      calls: Calls,
      [engine, stream, primitive, desc, memory]: [Engine, Stream, Primitive, MemoryDesc, Memory],
    ) => {
      calls.execute(primitive, stream, 1, Buffer.alloc(16));
      // @ts-expect-error swapped
      calls.execute(stream, primitive, 1, Buffer.alloc(16));
      // @ts-expect-error a descriptor for the memory that it describes
      calls.setHandle(desc, new Float32Array(1));
      calls.setHandle(memory, new Float32Array(1));
      create(calls, 'matmul', engine, desc, desc, null, desc, null);
      // @ts-expect-error swapped
      create(calls, 'matmul', desc, engine, desc, null, desc, null);
      // @ts-expect-error only the bias and the attribute may be null
      create(calls, 'matmul', engine, desc, null, desc, desc, null);
      // @ts-expect-error one is missing
      create(calls, 'matmul', engine, desc, desc, null, desc);
      // @ts-expect-error a function that creates nothing
      create(calls, 'descDestroy', desc);
      cFunction(libc, 'int munmap(void *address, size_t length)')(0n, 0);
      // @ts-expect-error swapped
      cFunction(libc, 'int munmap(void *address, size_t length)')(0, 0n);
    };
    expect(_calls).toBeTypeOf('function');
  });
});
