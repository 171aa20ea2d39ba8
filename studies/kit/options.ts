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

/** Values of the options of a study. */
export type ValuesOf<Options extends StudyOptions> = {
  readonly [name in keyof Options]: Options[name] extends StudyOption<infer Value> ? Value : never;
};

export function text(takes: string, help: string, value: string, quick = value): StudyOption<string> {
  return { takes, help, value, quick, parse: (given) => given };
}

/** A whole number of at least `least`. */
export function count(help: string, value: number, { quick = value, least = 1 } = {}): StudyOption<number> {
  return { takes: '<n>', help, value, quick, parse: wholeNumber(least) };
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
