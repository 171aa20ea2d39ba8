import { defineConfig } from 'vitest/config';

// Tests run the sources of the packages (package.json, exports), so that none has to be built first, or twice.
const conditions = ['source', 'module', 'node', 'development|production'];

const TESTS = '{test,packages/*/test}';
/** Files whose tests start other processes. */
const WITH_PROCESSES = [
  'agent/{node-agent,node-workers,parent-watch,run-node,worker-pool}',
  'cluster/*',
  'e2e/*',
  'checkpoint/{checkpointer,safetensors,save-ranks}',
  'collectives/{collectives,endurance,failures,hostile-peer,inter-node-link,shm-segment}',
  '{bench/,}collectives/{overlap,link-probe}',
  'data/prepare',
  'model/dispatch/dispatchers',
  'ops/compiled',
  'plan/command',
  'routing/global-selection',
  'run/run-lock',
  'worker/long-run',
].map((name) => `${TESTS}/${name}.test.ts`);

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    pool: 'forks',
    reporters: ['default', './test/closing-line-reporter.ts'],
    // A machine that has other work makes real processes late now and then; the reporter names what needed a second try.
    retry: process.env.CI ? 1 : 0,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    env: { TF_CPP_MIN_LOG_LEVEL: '2', TF_NUM_INTRAOP_THREADS: '1', TF_NUM_INTEROP_THREADS: '1' },
    projects: [
      {
        extends: true,
        test: {
          name: 'units',
          include: [`${TESTS}/**/*.test.ts`],
          exclude: WITH_PROCESSES,
          // Two processes for all files, so that TensorFlow is loaded twice instead of a hundred times.
          isolate: false,
          maxWorkers: 2,
        },
      },
      {
        extends: true,
        test: {
          name: 'processes',
          include: WITH_PROCESSES,
          sequence: { groupOrder: 1 },
          // Many processes with blocking waits: one file after another, so that timings on two cores mean something.
          fileParallelism: false,
        },
      },
    ],
  },
});
