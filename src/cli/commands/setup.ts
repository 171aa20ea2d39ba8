import { type Command, Option } from 'commander';
import { installLocked } from '../../../scripts/install-locked.mjs';
import { setupOneDnn } from '../../../scripts/onednn.mjs';
import { makeSetUpFolder } from '../../../scripts/set-up-folder.mjs';
import { CORPUS_DIR, corpusFolder } from '../../data/built-in/corpora.js';
import { CORPORA, type Corpus } from '../../data/built-in/sources.js';
import { setUp, setUpTensorFlow } from '../../local/set-up.js';

interface SetupOptions {
  readonly corpus?: Corpus;
}

/** Download size of each corpus. */
const SIZES: Readonly<Record<Corpus, string>> = { standard: 'about 20 MB', large: 'about 150 MB more' };

/** `locmoe setup`: installs what `npm install` leaves out, and skips parts that are present. */
export function setupCommand(command: Command): void {
  command
    .addOption(
      new Option(
        '--corpus [which]',
        `install the built-in text sources too (${SIZES.standard}); large: also those of data.corpus: large (${SIZES.large})`,
      )
        .choices(CORPORA)
        .preset('standard' satisfies Corpus),
    )
    .action(async ({ corpus }: SetupOptions) => {
      await setUpTensorFlow();
      await setUp('onednn', setupOneDnn);
      if (corpus === undefined) return;
      for (const each of corpus === 'large' ? CORPORA : [corpus])
        await setUp('corpus', (log) => {
          const folder = corpusFolder(CORPUS_DIR, each);
          makeSetUpFolder(corpusFolder('corpus', each), folder);
          return installLocked(folder, `the text sources (${SIZES[each]})`, log);
        });
    });
}
