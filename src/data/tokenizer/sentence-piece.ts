import { z } from 'zod';

// SentencePiece's BPE of characters (Llama 2, Mistral, TinyLlama): `▁` stands for a space, and a character
// without a token is encoded as its bytes, each a token such as `<0x0A>`.

export const SPACE = '▁';
/** Bytes of `▁` in UTF-8. A `▁` in a text is encoded as these bytes, since its token would be decoded to a space. */
const SPACE_BYTES = [0xe2, 0x96, 0x81];

const STEPS = {
  normalizer: z.discriminatedUnion('type', [
    z.object({ type: z.literal('Prepend'), prepend: z.literal(SPACE) }),
    z.object({
      type: z.literal('Replace'),
      pattern: z.object({ String: z.literal(' ') }),
      content: z.literal(SPACE),
    }),
  ]),
  decoder: z.discriminatedUnion('type', [
    z.object({
      type: z.literal('Replace'),
      pattern: z.object({ String: z.literal(SPACE) }),
      content: z.literal(' '),
    }),
    z.object({ type: z.literal('ByteFallback') }),
    z.object({ type: z.literal('Fuse') }),
    z.object({ type: z.literal('Strip'), content: z.literal(' '), start: z.literal(1), stop: z.literal(0) }),
  ]),
} as const;
/** Required order of the steps of a file; a question mark marks an optional step. */
const ORDER = {
  normalizer: /^(Prepend )?Replace $/,
  decoder: /^Replace ByteFallback Fuse (Strip )?$/,
} as const;
type Part = keyof typeof ORDER;

/** Returns the names of a part's steps; undefined if one of them is not SentencePiece's. */
function namesOf(part: Part, value: unknown): string | undefined {
  const steps = stepsOf(part, value);
  return steps.every((step) => STEPS[part].safeParse(step).success)
    ? steps.map((step) => `${(step as { type: string }).type} `).join('')
    : undefined;
}

function stepsOf(part: Part, value: unknown): readonly unknown[] {
  const inner = (value as Record<string, unknown> | null)?.[`${part}s`];
  return Array.isArray(inner) ? inner : [value];
}

/** Names the part of a byte_fallback file that would be encoded or decoded differently here; undefined if there is none. */
export function unlikeSentencePiece(file: Readonly<Partial<Record<Part | 'pre_tokenizer', unknown>>>) {
  const part = (['normalizer', 'decoder'] as const).find(
    (each) => !ORDER[each].test(namesOf(each, file[each]) ?? ''),
  );
  if (part !== undefined) return `byte_fallback with such a ${part} is not supported, only SentencePiece's`;
  return file.pre_tokenizer
    ? 'byte_fallback with a pre-tokenizer is not supported, only without one'
    : undefined;
}

/** Names of the tokens of the 256 bytes. */
export const BYTE_NAMES = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
);

export function spaceIds(vocab: Readonly<Record<string, number>>): number[] {
  return SPACE_BYTES.map((byte) => vocab[BYTE_NAMES[byte]!]!);
}

/**
 * Returns the tokenizer without the space that SentencePiece adds before a text and removes from decoded text: here,
 * the pieces of a text, from a template or token by token, must concatenate to it. Other files are unchanged.
 */
export function withoutDummyPrefix(tokenizerJson: string): string {
  const file = JSON.parse(tokenizerJson);
  if (!file.model.byte_fallback) return tokenizerJson;
  const sequence = (part: Part, without: string) => ({
    type: 'Sequence',
    [`${part}s`]: stepsOf(part, file[part]).filter((step) => (step as { type: string }).type !== without),
  });
  return JSON.stringify({
    ...file,
    normalizer: sequence('normalizer', 'Prepend'),
    decoder: sequence('decoder', 'Strip'),
  });
}
