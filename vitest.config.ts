import { fileURLToPath } from 'node:url';
import { configDefaults, defineConfig } from 'vitest/config';
import { HAS_WEBGPU } from './test/has-webgpu.js';
import { LongestFirst } from './test/longest-first.js';
import { NIGHTLY } from './test/nightly.js';

// Tests run the sources of the packages (package.json, exports), so that none has to be built first, or twice.
const conditions = ['source', 'module', 'node', 'development|production'];

const TESTS = '{test,packages/*/test,studies/test}';
const files = (...names: readonly string[]) => names.map((name) => `${TESTS}/${name}.test.ts`);

/** What others would disturb, or what would disturb others: it times the machine, or runs it out of memory. */
const ALONE = files('collectives/inter-node-link', 'e2e/out-of-memory', 'plan/calibrate');

/** Files whose tests start ranks, commands or browsers, and leave their own process, which they share, as it is. */
const WITH_PROCESSES = files(
  'checkpoint/safetensors',
  'cluster/*',
  'collectives/{collectives,endurance,failures,hostile-peer,overlap,shm-segment}',
  // Looks at what was built, which units do without.
  'coordinator/without-tensorflow',
  'data/own-text',
  'e2e/*',
  'library/*',
  'model/dispatch/dispatchers',
  'ops/kernels/onednn/process-end',
  'plan/command',
  'playground',
  'web',
  'worker/{layouts,long-run,micro-batch-memory,save-ranks,skipped-steps}',
);

/** The same, but their tests replace a module or a part of their process, which is theirs alone. */
const ISOLATED = files(
  'agent/{node-agent,node-workers,parent-watch,run-node,worker-pool,worker-stack}',
  'checkpoint/checkpointer',
  'coordinator/lead-run',
  'ops/kernels/tensorflow/compiled',
  'run/run-lock',
);

/**
 * Soaks, full lengths and whole tutorials, for which shorter tests stand by day, the package, which a release installs, and
 * studies.
 */
const LONG = [
  ...files(
    'cluster/machines',
    'collectives/overlap',
    'e2e/{bench-kernels,bench-place,bench-routers,bench-step,chaos,expert-storage,extending,inherit,learning,package}',
    'e2e/{placement,replay,site,soak,tutorials}',
    'plan/{calibrate,command}',
    'worker/long-run',
  ),
  'studies/test/e2e/*.test.ts',
];
const LEFT_OUT = NIGHTLY ? [] : LONG;

/** What is tested with TensorFlow's kernels too, or alone: what the planner counts are its operations. */
const ON_TENSORFLOW = files(
  'ops/*',
  'ops/kernels/tensorflow/*',
  'model/{language-model,moe-layer}',
  'plan/work',
);
const ON_TENSORFLOW_ALONE = files('plan/work');

/** What computes otherwise without AVX-512. */
const ON_AVX2 = files('ops/kernels/onednn/onednn-kernels');

/**
 * These run on a graphics device too, or on a driver that stands in for one. A whole model with each router takes a minute on such
 * a driver.
 */
const ON_WEBGPU = HAS_WEBGPU
  ? files('ops/*', 'parameters/*', `model/{moe-layer${NIGHTLY ? ',language-model' : ''}}`)
  : [];

/** In the other projects the kernels of these tests would be those of the processor. */
const ON_WEBGPU_ALONE = HAS_WEBGPU ? files('parameters/{device-state,step-reads}') : [];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    pool: 'forks',
    setupFiles: ['./test/fast-equality.ts', './scripts/removed-util.mjs'],
    reporters: ['default', './test/closing-line-reporter.ts'],
    // The deadline suits a machine that is ten times as slow: a command that hangs is found all the same, only later.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 60_000 } },
    env: {
      TF_CPP_MIN_LOG_LEVEL: '2',
      TF_NUM_INTRAOP_THREADS: '1',
      TF_NUM_INTEROP_THREADS: '1',
      OMP_NUM_THREADS: '1',
      // The driver that stands in for a graphics card would otherwise take all cores from other tests.
      LP_NUM_THREADS: '1',
      // Where a user's routers are remembered, so that tests leave nothing in the home of who runs them.
      XDG_STATE_HOME: fileURLToPath(new URL('node_modules/.cache/locmoe-state', import.meta.url)),
    },
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: {
          name: 'units',
          include: [`${TESTS}/**/*.test.ts`],
          exclude: [
            ...configDefaults.exclude,
            ...ALONE,
            ...WITH_PROCESSES,
            ...ISOLATED,
            ...ON_TENSORFLOW_ALONE,
            ...ON_WEBGPU_ALONE,
          ],
          // Two processes for all files, so that TensorFlow is loaded twice instead of a hundred times.
          isolate: false,
          maxWorkers: 2,
        },
      },
      {
        extends: true,
        test: {
          name: 'units on TensorFlow',
          include: ON_TENSORFLOW,
          exclude: [...WITH_PROCESSES, ...ISOLATED],
          env: { LOCMOE_KERNELS: 'tensorflow' },
          isolate: false,
          maxWorkers: 2,
        },
      },
      {
        extends: true,
        test: {
          name: 'units on WebGPU',
          include: ON_WEBGPU,
          env: { LOCMOE_KERNELS: 'webgpu' },
          isolate: false,
          maxWorkers: 2,
        },
      },
      {
        extends: true,
        test: {
          name: 'units on AVX2',
          include: ON_AVX2,
          env: { ONEDNN_MAX_CPU_ISA: 'AVX2' },
          maxWorkers: 2,
        },
      },
      {
        extends: true,
        test: {
          name: 'processes',
          include: WITH_PROCESSES,
          exclude: [...ALONE, ...LEFT_OUT],
          // What files compute fills the waits of others.
          maxWorkers: 5,
          isolate: false,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'isolated processes',
          include: ISOLATED,
          maxWorkers: 5,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'alone',
          include: ALONE,
          exclude: LEFT_OUT,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
