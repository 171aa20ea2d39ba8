import { defineConfig } from 'vitest/config';

// Tests run the sources of the packages (package.json, exports), so that none has to be built first, or twice.
const conditions = ['source', 'module', 'node', 'development|production'];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ['test/**/*.test.ts', 'packages/*/test/**/*.test.ts'],
    // Tests start real processes with blocking waits: files run one after another, each in its own process, so
    // that timings on two cores mean something and TensorFlow is loaded by one process at a time.
    pool: 'forks',
    fileParallelism: false,
    reporters: ['default', './test/closing-line-reporter.ts'],
    // A machine that has other work makes real processes late now and then; the reporter names what needed a second try.
    retry: process.env.CI ? 1 : 0,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    env: { TF_CPP_MIN_LOG_LEVEL: '2', TF_NUM_INTRAOP_THREADS: '1', TF_NUM_INTEROP_THREADS: '1' },
  },
});
