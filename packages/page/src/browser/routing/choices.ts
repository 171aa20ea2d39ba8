import type { ChoiceColumns, SequenceRoutes } from '../../api-types.js';

/** One choice of a token in a layer. */
export type Choice = { readonly [Name in keyof ChoiceColumns]: ChoiceColumns[Name][number] } & {
  readonly layer: number;
};

/** A token above its experts. */
export interface TextToken {
  /** Index in the sequence. */
  readonly index: number;
  readonly text: string;
  readonly choices: readonly Pick<Choice, 'layer' | 'expert' | 'weight' | 'outcome'>[];
  /** Whether it is marked as one whose experts have changed. */
  readonly isChanged?: boolean;
}

/** A token of a sequence. */
export interface ShownToken extends TextToken {
  readonly id: number;
  readonly position: number;
  readonly document: number;
  /** Choices, ordered by layer, then by choice. */
  readonly choices: readonly Choice[];
}

/** Returns the tokens of a reply, each with its choices. */
export function tokensOf({ from, tokens, layers }: SequenceRoutes): ShownToken[] {
  const choices: Choice[][] = tokens.id.map(() => []);
  for (const { layer, ...columns } of layers)
    for (let at = 0; at < columns.token.length; at++) {
      const entries = Object.entries(columns).map(([name, values]) => [name, values[at]]);
      choices[columns.token[at]!]?.push({ layer, ...Object.fromEntries(entries) });
    }
  return tokens.id.map((id, at) => ({
    index: from + at,
    id,
    text: tokens.text === null ? String(id) : visible(tokens.text[at]!),
    position: tokens.position[at]!,
    document: tokens.document[at]!,
    choices: choices[at]!,
  }));
}

/** Returns a token in visible characters, as the exported page shows it. */
export function visible(text: string): string {
  if (text === '') return '…';
  return text
    .replaceAll('\n', '↵')
    .replaceAll('\t', '⇥')
    .replaceAll(/ {2,}/g, (spaces) => `␣${spaces.length}`)
    .replace(/^ $/, '␣');
}
