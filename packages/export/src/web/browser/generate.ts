import type { Ending, GenerateRequest, ModelConfig, RoutedToken } from './messages.js';
import type { RoutedModel } from './routed-model.js';

/** Converts text to token ids, and a token id to its bytes. */
export interface Codec {
  encode(text: string): readonly number[];
  bytesOf(id: number): Uint8Array;
}

const TOP_K = 40;

/** Tokens that the model has routed. */
export interface Routed {
  readonly tokens: readonly RoutedToken[];
  /** Why the text ended; null while it continues. */
  readonly ending: Exclude<Ending, 'stopped'> | null;
}

/**
 * Continues a prompt or answers a question, as `locmoe generate` does, always over the last `seqLen` tokens.
 * A token is yielded once the model has routed it.
 */
export async function* generate(
  model: RoutedModel,
  { encode, bytesOf }: Codec,
  { prompt, domain, maxTokens, temperature }: GenerateRequest,
): AsyncGenerator<Routed> {
  const { seqLen, endOfText } = model.config;
  // A text begins with an end-of-text token, as every text does in training.
  const ids = [endOfText, ...encode(inForm(model.config, domain, prompt))];
  const numGiven = ids.length;
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  let numRouted = 0;
  let cache = model.emptyCache;
  while (true) {
    // Once the window slides, all positions change, and cached values are useless.
    const hasSlid = ids.length > seqLen;
    const first = hasSlid ? ids.length - seqLen : numRouted;
    const pass = await model.run(ids.slice(first), domain, hasSlid ? model.emptyCache : cache);
    cache = pass.cache;
    const next = sample(pass.logits, temperature);
    const hasAll = ids.length - numGiven >= maxTokens;
    const ending = hasAll ? 'length' : next === endOfText ? 'end-of-text' : null;
    const routed = ids.slice(numRouted).map((id, i): RoutedToken => {
      const place = numRouted + i;
      const kind = place === 0 ? 'start' : place < numGiven ? 'prompt' : 'generated';
      return {
        id,
        kind,
        text: kind === 'start' ? '' : utf8.decode(bytesOf(id), { stream: true }),
        // The model does not see the beginning of a prompt that exceeds a sequence.
        layers: place < first ? [] : pass.routing(place - first),
      };
    });
    numRouted = ids.length;
    const cut = ending === null ? '' : utf8.decode();
    const tokens = routed.map((token, i) =>
      cut !== '' && i === routed.length - 1 ? { ...token, text: token.text + cut } : token,
    );
    yield { tokens, ending };
    if (ending !== null) return;
    ids.push(next);
  }
}

/** Returns the prompt as given, or the question with its template up to the beginning of the answer. */
function inForm({ templates }: ModelConfig, domain: number, prompt: string): string {
  const template = templates[domain]!;
  if (template === null) return prompt;
  return template.user.prefix + prompt + template.user.suffix + template.assistant.prefix;
}

/** Returns the k ids with the greatest logits, best first; sorted by insertion, as k is small. */
function likeliest(logits: Float32Array, k: number): number[] {
  const best: number[] = [];
  logits.forEach((logit, id) => {
    if (best.length === k && !(logit > logits[best[k - 1]!]!)) return;
    if (Number.isNaN(logit)) return;
    let at = best.length;
    while (at > 0 && logit > logits[best[at - 1]!]!) at--;
    best.splice(at, 0, id);
    if (best.length > k) best.pop();
  });
  return best;
}

function sample(logits: Float32Array, temperature: number): number {
  const best = likeliest(logits, temperature === 0 ? 1 : TOP_K);
  if (best.length === 0) throw new Error('the model gives NaN: its weights are of no use');
  const weights = best.map((id) => Math.exp((logits[id]! - logits[best[0]!]!) / (temperature || 1)));
  let left = Math.random() * weights.reduce((sum, weight) => sum + weight, 0);
  for (let i = 0; i < best.length; i++) {
    left -= weights[i]!;
    if (left < 0) return best[i]!;
  }
  return best[0]!;
}
