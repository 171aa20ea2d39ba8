// Preloaded into the processes of a run (NODE_OPTIONS=--import) to measure garbage collection: a worker
// writes its collections to a file in LOCMOE_GC_DIR when it exits. The trainer itself is unaware of it.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { type PerformanceEntry, PerformanceObserver } from 'node:perf_hooks';

const folder = process.env.LOCMOE_GC_DIR;
if (folder !== undefined && process.argv[1]?.endsWith(path.join('worker', 'main.js'))) {
  const collections: { readonly atMs: number; readonly ms: number }[] = [];
  const note = (entries: readonly PerformanceEntry[]) => {
    for (const { startTime, duration } of entries)
      collections.push({ atMs: performance.timeOrigin + startTime, ms: duration });
  };
  const observer = new PerformanceObserver((list) => note(list.getEntries()));
  observer.observe({ entryTypes: ['gc'] });
  process.on('exit', () => {
    note(observer.takeRecords());
    writeFileSync(path.join(folder, `${process.pid}.json`), JSON.stringify(collections));
  });
}
