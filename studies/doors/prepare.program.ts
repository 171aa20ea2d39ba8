import { CORPUS_DIR } from 'locmoe/internal/data/built-in/corpora';
import { prepareDataset } from 'locmoe/internal/data/prepare/prepare';
import { loadTokenizer } from 'locmoe/internal/data/tokenizer/tokenizer';
import type { PrepareAnswer, PrepareRequest } from './prepare.js';

// Prepares a text, or tokenizes chunks of it with the library alone, in a process whose memory is its own.
process.once('message', (request: PrepareRequest) => {
  answer(request).then(
    (sent: PrepareAnswer) => process.send!(sent, () => process.disconnect()),
    (error: unknown) => {
      throw error;
    },
  );
});

async function answer(request: PrepareRequest): Promise<PrepareAnswer> {
  if ('chunks' in request) {
    const tokenizer = loadTokenizer(request.tokenizer);
    const started = performance.now();
    for (const chunk of request.chunks) tokenizer.encode(chunk);
    return { dir: '', tokens: 0, seconds: (performance.now() - started) / 1000, peakBytes: 0 };
  }
  const started = performance.now();
  const dataset = await prepareDataset({
    ...request,
    corpusDir: CORPUS_DIR,
    corpus: 'standard',
    domains: Object.keys(request.sources),
    endOfText: null,
    maxBytesPerDomain: null,
    validationShare: 0.05,
    log: (line) => console.log(line),
  });
  return {
    dir: dataset.dir,
    tokens: dataset.domains.reduce(
      (sum, { train, validation }) => sum + train.ids.length + validation.ids.length,
      0,
    ),
    seconds: (performance.now() - started) / 1000,
    peakBytes: 1024 * process.resourceUsage().maxRSS,
  };
}
