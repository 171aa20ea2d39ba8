import { z } from 'zod';
import { type Message, ROLES } from '../template.js';
import { bytesOf } from './bytes.js';
import { parseLine } from './json-lines.js';
import { lineIn, linesOf } from './lines.js';
import { refusal, type Span } from './span.js';
import { layoutOf } from './text-source.js';

/** A conversation whose last turn is an answer. */
export type Sample = readonly Message[];

const NEWLINE = 10;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const NO_ONE = { onBytes: () => undefined, onInvalid: () => undefined };
const text = z.string('must be text').refine((written) => written.trim() !== '', 'is empty');
const pairSchema = z.object({ prompt: text, completion: text });
const conversationSchema = z.object({
  messages: z
    .array(
      z.object(
        {
          role: z.enum(ROLES, {
            error: ({ input }) =>
              input === undefined
                ? 'is missing'
                : `${JSON.stringify(input)?.slice(0, 40)} is none of ${ROLES.join(', ')}`,
          }),
          content: text,
        },
        'must be { role, content }',
      ),
      'must be a list of { role, content }',
    )
    .min(1, 'is empty')
    .refine((turns) => turns.at(-1)?.role === 'assistant', 'must end with an answer (role assistant)'),
});

/**
 * Yields the samples of a file of JSON lines; skips empty lines.
 *
 * @throws TrainerError `BAD_INPUT` with file, line and field of the first invalid sample
 */
export async function* readSamples(span: Span): AsyncGenerator<Sample> {
  const windows = bytesOf(span, layoutOf(span.file, {}).compression, NO_ONE);
  for await (const { bytes, first } of linesOf(windows, span)) {
    let line = first;
    for (let begin = 0; begin < bytes.length; line++) {
      const newline = bytes.indexOf(NEWLINE, begin);
      const end = newline < 0 ? bytes.length : newline;
      const sample = sampleOf(bytes.subarray(begin, end));
      if (typeof sample === 'string') throw refusal(lineIn(span, line), sample);
      if (sample !== null) yield sample;
      begin = end + 1;
    }
  }
}

/** Parses a line; returns null for an empty line, and a description of the problem for an invalid one. */
function sampleOf(line: Buffer): Sample | string | null {
  let written: string;
  try {
    written = utf8.decode(line);
  } catch {
    return 'is not UTF-8; convert it (iconv -t UTF-8)';
  }
  if (written.trim() === '') return null;
  const { value, problem } = parseLine(written);
  if (problem !== undefined) return problem;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return `is no JSON object`;
  const isConversation = Object.hasOwn(value, 'messages');
  const isPair = Object.hasOwn(value, 'prompt') || Object.hasOwn(value, 'completion');
  if (isConversation === isPair)
    return isPair
      ? 'has messages beside prompt and completion: give one of the two'
      : `has neither prompt and completion nor messages (fields: ${Object.keys(value).slice(0, 8).join(', ') || 'none'})`;
  if (isPair) {
    const pair = pairSchema.safeParse(value, { reportInput: true });
    if (!pair.success) return describe(pair.error);
    return [
      { role: 'user', content: pair.data.prompt },
      { role: 'assistant', content: pair.data.completion },
    ];
  }
  const conversation = conversationSchema.safeParse(value, { reportInput: true });
  return conversation.success ? conversation.data.messages : describe(conversation.error);
}

/** Returns the first problem, with its field. */
function describe({ issues: [issue] }: z.ZodError): string {
  const isMissing = issue!.code === 'invalid_type' && issue!.input === undefined;
  return `${issue!.path.join('.')}: ${isMissing ? 'is missing' : issue!.message}`;
}
