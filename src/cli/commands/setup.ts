import { type Command, Option } from 'commander';
import { installLocked } from '../../../scripts/install-locked.mjs';
import { setupOneDnn } from '../../../scripts/onednn.mjs';
import { makeSetUpFolder } from '../../../scripts/set-up-folder.mjs';
import { findWebGpu, setupWebGpu } from '../../../scripts/webgpu.mjs';
import { CORPUS_DIR, corpusFolder } from '../../data/built-in/corpora.js';
import { CORPORA, type Corpus } from '../../data/built-in/sources.js';
import { TrainerError } from '../../errors.js';
import { setUp, setUpTensorFlow } from '../../local/set-up.js';

interface SetupOptions {
  readonly corpus?: Corpus;
  readonly webgpu?: true;
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
    .option(
      '--webgpu',
      'install the library of WebGPU too (51 MB to download, 22 MB on disk), which computes on a graphics card (train.device: webgpu)',
    )
    .action(async ({ corpus, webgpu }: SetupOptions) => {
      await setUpTensorFlow();
      await setUp('onednn', setupOneDnn);
      if (webgpu) {
        await setUp('webgpu', setupWebGpu);
        if (findWebGpu() === null) throw new TrainerError('NO_RESOURCE', 'set-up: WebGPU is not installed');
      }
      if (corpus === undefined) return;
      for (const each of corpus === 'large' ? CORPORA : [corpus])
        await setUp('corpus', (log) => {
          const folder = corpusFolder(CORPUS_DIR, each);
          makeSetUpFolder(corpusFolder('corpus', each), folder);
          return installLocked(folder, `the text sources (${SIZES[each]})`, log);
        });
    });
}
