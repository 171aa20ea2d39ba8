import { expect, it } from 'vitest';
import { withOneDnn } from '../../../with-onednn.js';
import { runAsWorker } from '../../../worker/run-as-worker.js';

withOneDnn('oneDNN', () => {
  it('lets a process end while its threads still turn over', () => {
    const program = new URL('process-end.program.ts', import.meta.url);
    expect(runAsWorker(program)).toEqual({ sum: 512, moreThreads: 1 });
  });
});
