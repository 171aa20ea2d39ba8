import { collect, collectWords, wholeNumber } from 'locmoe/internal/cli/commands/options';

/** An option of a study; the study finds its value under the option's name. */
export interface StudyOption<Value> {
  /** The argument, as help shows it. */
  readonly takes: string;
  readonly help: string;
  readonly value: Value;
  /** Replaces `value` with `--quick`. */
  readonly quick: Value;
  parse(text: string, previous: Value | undefined): Value;
}

export type StudyOptions = Readonly<Record<string, StudyOption<unknown>>>;

export type ValuesOf<Options extends StudyOptions> = {
  readonly [name in keyof Options]: Options[name] extends StudyOption<infer Value> ? Value : never;
};

export function text(takes: string, help: string, value: string, quick = value): StudyOption<string> {
  return { takes, help, value, quick, parse: (given) => given };
}

/** A number; a whole one of at least `least` where nothing else parses it. */
export function count(
  help: string,
  value: number,
  { quick = value, least = 1, parse = wholeNumber(least) } = {},
): StudyOption<number> {
  return { takes: '<n>', help, value, quick, parse };
}

/** A number that need not be given: `help` says what comes of it then. */
export function maybe(
  parse: (text: string) => number,
  help: string,
  { takes = '<n>', quick = null as number | null } = {},
): StudyOption<number | null> {
  return { takes, help, value: null, quick, parse };
}

/** Words that are separated by commas, or given one by one. */
export function words(
  help: string,
  { takes = '<words>', quick = [] as readonly string[] } = {},
): StudyOption<readonly string[]> {
  return { takes, help, value: [], quick, parse: (given, previous) => collectWords(given, previous ?? []) };
}

/** `--set`, as commands that train have it. */
export const SET: StudyOption<readonly string[]> = {
  takes: '<key=value>',
  help: 'override a field in every training; repeat for several',
  value: [],
  quick: [],
  parse: (given, previous) => collect(given, previous ?? []),
};
