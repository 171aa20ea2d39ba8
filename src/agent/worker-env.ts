/** For a process that works on large arrays. */
export const ALLOCATOR_ENV = {
  // glibc gives large blocks back to the kernel at once by default, and every tensor pays for its page faults again.
  MALLOC_MMAP_THRESHOLD_: String(1 << 30),
  MALLOC_TRIM_THRESHOLD_: String(2 ** 32),
  // Threads that run compiled graphs would otherwise allocate from places that go back to the kernel at once.
  MALLOC_ARENA_MAX: '1',
  // Tensors in huge pages, where the kernel leaves it to the program (glibc 2.35 and later; others do not look). Without
  // caches of small blocks, those that are freed join again: kept apart, they cut the room between tensors to pieces.
  GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1:glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0',
};

/** Environment of a process that computes beside others on the same machine. */
export const WORKER_ENV = {
  // Several workers share the cores: one TensorFlow thread each, or they fight.
  TF_NUM_INTRAOP_THREADS: '1',
  // Compiled parts run in the thread that asks for them: each would be handed to another one and back.
  TF_NUM_INTEROP_THREADS: '-1',
  // Compiled parts of a step would cut their loops for all cores and wait for threads that other workers keep waiting.
  XLA_FLAGS: '--xla_disable_hlo_passes=cpu-parallel-task-assigner',
  TF_CPP_MIN_LOG_LEVEL: '2',
  ...ALLOCATOR_ENV,
};

/**
 * Options of a worker's Node. A small young generation is collected before it holds on to much of the tensors' memory outside
 * the heap: it takes 20 MB less than V8's own size of 16 MB, and no longer.
 */
export const WORKER_NODE_OPTIONS = ['--max-semi-space-size=4'];
