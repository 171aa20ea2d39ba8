/** glibc settings for a process with large arrays. */
export const ALLOCATOR_ENV = {
  // By default glibc returns large blocks to the kernel at once, and every tensor pays for page faults again.
  MALLOC_MMAP_THRESHOLD_: String(1 << 30),
  MALLOC_TRIM_THRESHOLD_: String(2 ** 32),
  // Threads that run compiled graphs would otherwise use arenas that go back to the kernel at once.
  MALLOC_ARENA_MAX: '1',
  // Huge pages for tensors where the kernel lets programs ask for them (glibc from 2.35 on; older ones ignore the
  // setting). No caches of small blocks: freed blocks that are not merged fragment the space between tensors.
  GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1:glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0',
};

/** Environment of a process that shares the machine's cores with other workers. */
export const WORKER_ENV = {
  // With more than one TensorFlow thread each, workers would compete for the cores.
  TF_NUM_INTRAOP_THREADS: '1',
  // oneDNN, too, computes with one thread in each worker.
  OMP_NUM_THREADS: '1',
  // Compiled graphs run in the calling thread, which saves a hand-over to another thread and back.
  TF_NUM_INTEROP_THREADS: '-1',
  // XLA would otherwise split loops for all cores and wait for threads that compete with other workers.
  XLA_FLAGS: '--xla_disable_hlo_passes=cpu-parallel-task-assigner',
  TF_CPP_MIN_LOG_LEVEL: '2',
  ...ALLOCATOR_ENV,
};

/**
 * A small young generation is collected before it retains much of the tensors' external memory: 20 MB less
 * than with V8's default of 16 MB, at the same speed.
 */
export const WORKER_NODE_OPTIONS = ['--max-semi-space-size=4'];
