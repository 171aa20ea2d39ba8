import type { Command } from 'commander';
import { installLocked } from '../../../scripts/install-locked.mjs';
import { setupOneDnn } from '../../../scripts/onednn.mjs';
import { CORPUS_DIR } from '../../data/corpora.js';
import { inPhase, setUpTensorFlow } from '../set-up.js';

interface SetupOptions {
  readonly corpus?: boolean;
}

/** `locmoe setup`: what `npm install` leaves out. Each part is quick if it is there. */
export function setupCommand(command: Command): void {
  command
    .option('--corpus', 'install the built-in text sources too (about 100 MB)')
    .action(async ({ corpus }: SetupOptions) => {
      await setUpTensorFlow();
      await inPhase('onednn', setupOneDnn);
      if (corpus)
        await inPhase('corpus', (log) => installLocked(CORPUS_DIR, 'the text sources (about 100 MB)', log));
    });
}
