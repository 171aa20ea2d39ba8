import { existsSync } from 'node:fs';
import path from 'node:path';
import { runInNewContext } from 'node:vm';
import { Template } from '@huggingface/jinja';
import { readRegularFile } from '@locmoe/run-format/regular-file';
import { z } from 'zod';
import { TrainerError } from '../errors.js';
import type { Message } from './template.js';
import type { Tokenizer } from './tokenizer/tokenizer.js';

// A model of HuggingFace's transformers may have a Jinja template that renders a conversation as one text.

const JINJA_FILE = 'chat_template.jinja';
const SETTINGS_FILE = 'tokenizer_config.json';
/** A pattern that matches nowhere, not even the empty text. */
const NOTHING = '(?!)';
/** Time limit for parsing a template, and for rendering with it: a template from a stranger might never end. */
const MAX_MS = 3_000;
/** Limit on the length of a template; the longest known ones have some ten thousand characters. */
const MAX_TEMPLATE_CHARS = 2 ** 18;
/** Limit on the rendered text; the same as on the body of an API request. */
const MAX_TEXT_CHARS = 2 ** 22;
/** A template's own error message is cut to this length. */
const MAX_SAID_CHARS = 500;
/** Limit on the files' size, with room for the added tokens that some settings list. */
const MAX_BYTES = 2 ** 24;

const token = z.union([z.string(), z.object({ content: z.string() }).transform(({ content }) => content)]);
const settingsSchema = z.object({
  bos_token: token.nullish(),
  eos_token: token.nullish(),
  pad_token: token.nullish(),
  unk_token: token.nullish(),
  chat_template: z
    .union([z.string(), z.array(z.object({ name: z.string(), template: z.string() }))])
    .nullish(),
});
const id = z.number().int().min(0);
const generationSchema = z.object({
  eos_token_id: z.union([id.transform((each) => [each]), z.array(id)]).nullish(),
});

/** The chat template of a folder. */
export interface ChatTemplate {
  /** Path of the template's file, for messages. */
  readonly file: string;
  readonly template: Template;
  /** Special tokens that the template may refer to by their role. */
  readonly tokens: Omit<z.output<typeof settingsSchema>, 'chat_template'>;
  /** Ids of the tokens that end an answer. */
  readonly ends: readonly number[];
}

/**
 * Reads the chat template of a folder: chat_template.jinja, or the field of tokenizer_config.json, which may have
 * several, of which `default` is used. Answers end with `eos_token_id` of generation_config.json, else of config.json.
 *
 * @returns null if the folder has no template
 * @throws TrainerError `BAD_INPUT` naming the invalid file
 */
export function readChatTemplate(folder: string): ChatTemplate | null {
  const jinja = path.join(folder, JINJA_FILE);
  const settings = path.join(folder, SETTINGS_FILE);
  const { chat_template: field, ...tokens } = read(settings, settingsSchema) ?? {};
  const written = Array.isArray(field) ? field.find(({ name }) => name === 'default')?.template : field;
  const [file, source] = existsSync(jinja) ? [jinja, readText(jinja)] : [settings, written];
  if (source == null) return null;
  const [generation, config] = ['generation_config.json', 'config.json'].map((name) =>
    read(path.join(folder, name), generationSchema),
  );
  const ends = generation?.eos_token_id ?? config?.eos_token_id ?? [];
  return { file, template: parse(file, source), tokens, ends };
}

function parse(file: string, source: string): Template {
  if (source.length > MAX_TEMPLATE_CHARS)
    throw bad(
      `${file}: the chat template has ${source.length} characters; at most ${MAX_TEMPLATE_CHARS} are read`,
    );
  try {
    return inTime(() => new Template(source));
  } catch (error) {
    throw bad(`${file}: the chat template cannot be read`, error);
  }
}

/** A noncharacter, which Unicode keeps out of texts: within the name of a special token it makes the name ordinary text. */
const BREAK = '\uFDD0';

/**
 * Encodes a conversation up to where the model's answer begins. The name of a special token stands for the
 * token in the template, and is ordinary text in a message.
 *
 * @throws TrainerError `BAD_INPUT` if the template refuses the messages or renders an empty text
 */
export function encodeByTemplate(
  messages: readonly Message[],
  { file, template, tokens }: ChatTemplate,
  { specialTokens, encode }: Pick<Tokenizer, 'specialTokens' | 'encode'>,
): readonly number[] {
  // If a name begins with another name, the longer one is meant.
  const specials = [...specialTokens].sort((a, b) => b.content.length - a.content.length);
  const known = new Map(specials.map((special) => [special.content, special]));
  const parts = renderInParts(messages, [...known.keys()], { file, template, tokens });
  const encoded = parts.flatMap((part, i) => {
    if (i % 2 === 1) return known.get(part)!.id;
    // Some special tokens absorb adjacent white space.
    const after = known.get(parts[i - 1]!)?.rstrip ? part.trimStart() : part;
    const between = known.get(parts[i + 1]!)?.lstrip ? after.trimEnd() : after;
    return between === '' ? [] : [...encode(between.replaceAll(BREAK, ''))];
  });
  if (encoded.length === 0) throw bad(`${file}: the chat template makes nothing of these messages`);
  return encoded;
}

/** Renders a conversation and splits the text at the names of special tokens, which have the odd indices. */
function renderInParts(
  messages: readonly Message[],
  specials: readonly string[],
  { file, template, tokens }: Omit<ChatTemplate, 'ends'>,
): readonly string[] {
  // Transformers also passes these variables, with null for an absent value.
  const given = { ...tokens, tools: null, documents: null, add_generation_prompt: true };
  try {
    return inTime(() => {
      const names = new RegExp(`(${specials.map(escaped).join('|') || NOTHING})`, 'g');
      const quoted = messages.map(({ role, content }) => ({
        role,
        content: content.replace(names, (name) => name[0] + BREAK + name.slice(1)),
      }));
      const text = template.render({ ...given, messages: quoted });
      if (text.length > MAX_TEXT_CHARS)
        throw new Error(`it makes ${text.length} characters of them; at most ${MAX_TEXT_CHARS} are read`);
      return text.split(names);
    });
  } catch (error) {
    throw bad(`${file}: the chat template refuses these messages`, error);
  }
}

/** @throws Error after `MAX_MS`, or the error of `work` */
function inTime<T>(work: () => T): T {
  return runInNewContext('work()', { work }, { timeout: MAX_MS });
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/** @returns null if the file does not exist */
function read<T>(file: string, schema: z.ZodType<T>): T | null {
  if (!existsSync(file)) return null;
  try {
    return schema.parse(JSON.parse(readText(file)));
  } catch (error) {
    if (error instanceof TrainerError) throw error;
    const issue = error instanceof z.ZodError ? error.issues[0]! : null;
    throw bad(`${file}: ${issue === null ? 'cannot be read' : issue.path.join('.')}`, issue ?? error);
  }
}

function readText(file: string): string {
  return readRegularFile(file, MAX_BYTES).toString('utf8');
}

/** Returns an error on one line, without control characters, through which a template could control the terminal. */
function bad(what: string, cause?: unknown): TrainerError {
  const said = cause === undefined ? '' : (cause as Error).message.slice(0, MAX_SAID_CHARS);
  const why = cause === undefined ? '' : ` (${said.replace(/[\s\p{Cc}\p{Cf}]+/gu, ' ')})`;
  return new TrainerError('BAD_INPUT', what + why, {}, { cause });
}
