import { printable } from '../format.js';
import type { Dataset } from './dataset.js';
import type { SequencePlace } from './loader.js';
import { loadTokenizer } from './tokenizer/tokenizer.js';

/** Maximum number of sequences that are quoted. */
const MAX_QUOTED = 8;
const QUOTED_TOKENS = 12;

/** Names sequences by domain and tokens, with the first words of each, by which the text can be found. */
export function quotePlaces(
  dataset: Dataset,
  endOfText: string | null,
  places: readonly SequencePlace[],
): string {
  const tokenizer = loadTokenizer(dataset.tokenizerFile, endOfText);
  const quoted = places.slice(0, MAX_QUOTED).map(({ domain, begin, end }) => {
    const { ids } = dataset.domains.find(({ name }) => name === domain)!.train;
    const text = tokenizer.decode(ids.slice(begin, Math.min(begin + QUOTED_TOKENS, end)));
    return `${domain} tokens ${begin} to ${end - 1} ${JSON.stringify(printable(text))}`;
  });
  const more = places.length - quoted.length;
  return quoted.join(', ') + (more > 0 ? ` and ${more} more` : '');
}
