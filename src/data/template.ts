import { z } from 'zod';
import type { Tokenizer } from './tokenizer/tokenizer.js';

/** Returns the schema of the texts before and after a turn. */
function turn(what: string, prefix: string, suffix: string) {
  return z
    .strictObject({
      prefix: z.string().default(prefix).describe(`text before ${what}`),
      suffix: z.string().default(suffix).describe(`text after ${what}`),
    })
    .prefault({});
}

/** How the turns of a conversation become one text. The tokenizer's end-of-text token ends every answer. */
export const templateSchema = z.strictObject({
  system: turn('a turn that says how to answer', '', '\n'),
  user: turn('a question', 'Question: ', '\n'),
  assistant: turn('an answer', 'Answer:\n', ''),
});

/** Answers to learn, in JSON lines of `{prompt, completion}` or `{messages: [{role, content}]}`. */
export const instructSchema = z.strictObject({
  template: templateSchema
    .prefault({})
    .describe('text before and after each turn; `locmoe generate` asks in the same form'),
  validation: z
    .array(z.string().min(1))
    .min(1)
    .nullable()
    .default(null)
    .describe('files of held-out samples; null: `validationShare` of the questions'),
});

type Readonlys<T> = T extends object ? { readonly [K in keyof T]: Readonlys<T[K]> } : T;
export type Template = Readonlys<z.output<typeof templateSchema>>;
export type Instruct = Readonlys<z.output<typeof instructSchema>>;

/** Returns the template of a domain; null for a domain of plain text. */
export function templateOf(
  {
    domains,
    sources,
  }: {
    readonly domains: readonly string[];
    readonly sources: Readonly<Record<string, { readonly instruct?: Instruct | undefined }>>;
  },
  domain: number,
): Template | null {
  const name = domains[domain]!;
  return Object.hasOwn(sources, name) ? (sources[name]!.instruct?.template ?? null) : null;
}

export const ROLES = ['system', 'user', 'assistant'] as const;

export interface Message {
  readonly role: (typeof ROLES)[number];
  readonly content: string;
}

/** Role of a token in a sample. */
export const MARK = { context: 0, answer: 1, begin: 2 } as const;

/** A conversation as tokens. */
export interface EncodedMessages {
  /** Token ids; the first is the end-of-text token, which every text follows in training. */
  readonly ids: readonly number[];
  /** A `MARK` for each token. */
  readonly marks: readonly number[];
}

/**
 * Returns the tokens of a conversation. An answer and the text before it are encoded separately, as in generation. If
 * the last turn is not an answer, the text ends where an answer would begin.
 */
export function encodeMessages(
  messages: readonly Message[],
  template: Template,
  tokenizer: Pick<Tokenizer, 'encode' | 'endOfText'>,
): EncodedMessages {
  const ids = [tokenizer.endOfText];
  const marks: number[] = [MARK.begin];
  const add = (tokens: Iterable<number>, mark: number) => {
    for (const id of tokens) {
      ids.push(id);
      marks.push(mark);
    }
  };
  let before = '';
  for (const { role, content } of messages) {
    const { prefix, suffix } = template[role];
    if (role !== 'assistant') {
      before += prefix + content + suffix;
      continue;
    }
    add(tokenizer.encode(before + prefix), MARK.context);
    add([...tokenizer.encode(content + suffix), tokenizer.endOfText], MARK.answer);
    before = '';
  }
  if (messages.at(-1)?.role !== 'assistant')
    add(tokenizer.encode(before + template.assistant.prefix), MARK.context);
  return { ids, marks };
}
